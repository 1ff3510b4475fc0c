import type { Rows } from '../api/backend';
import type { JobDocument } from '../api/documents';

/** Something a person wants to be told of. */
export interface News {
  job: JobDocument;
  text: string;
  /** Whether something went wrong, and not just came to its limit or lost its machine. */
  grave: boolean;
}

const SAID: Partial<Record<JobDocument['state'], string>> = {
  failed: 'failed',
  interrupted: 'was interrupted',
  capped: 'reached a limit',
  lost: 'is lost'
};

/** Finds news in what the topic `jobs` says: what had ended before the page was opened is none. */
export class JobNews {
  private readonly states = new Map<string, string>();
  private begun = false;

  /** Return what is new since the last call. */
  take(rows: Rows<JobDocument>): News[] {
    const news: News[] = [];
    for (const job of rows.rows) {
      const was = this.states.get(job.id);
      const now = `${job.state} ${String(job.attempt)} ${job.phase}`;
      this.states.set(job.id, now);
      // A job that was never seen is news only if it began after we did: a reset tells old stories again.
      const lived = was !== undefined ? was !== now : this.begun && !rows.reset;
      const found = lived ? told(job) : null;
      if (found !== null) {
        news.push(found);
      }
    }
    this.begun = true;
    return news;
  }
}

function told(job: JobDocument): News | null {
  const said = SAID[job.state];
  if (said === undefined) {
    return null;
  }
  const why = job.cause === null ? '' : `: ${job.cause.message}`;
  return {
    job,
    text: `${job.name} ${said}${why}`,
    grave: job.state === 'failed' || job.state === 'lost'
  };
}
