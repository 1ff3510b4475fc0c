import { useCallback, useState } from 'react';

import { useConnection } from '../api/context';
import type { CheckpointDocument, ErrorDocument, JobDocument, JobState } from '../api/documents';
import { errorOf } from '../ui/errorOf';
import { hasEnded } from './states';

/** What was asked of an attempt and has not shown its effect yet. */
interface Asked {
  deed: 'cancel' | 'resume';
  attempt: number;
}

/** Stopping and resuming, shown at once. */
export interface Deeds {
  /** The state to show: what was asked for until the truth has caught up. */
  state: JobState | 'stopping';
  error: ErrorDocument | null;
  stop: () => void;
  resume: (checkpoint?: CheckpointDocument) => void;
  /** Take the error away. */
  dismiss: () => void;
}

/** Do what a card's buttons say to `job`; `take` gets the job as the action has left it. */
export function useDeeds(job: JobDocument, take: (job: JobDocument) => void): Deeds {
  const { backend } = useConnection();
  const [asked, setAsked] = useState<Asked | null>(null);
  const [error, setError] = useState<ErrorDocument | null>(null);
  const { id, attempt } = job;

  const run = useCallback(
    (deed: Asked['deed'], work: () => Promise<{ job: JobDocument }>) => {
      setAsked({ deed, attempt });
      setError(null);
      work().then(
        result => {
          take(result.job);
        },
        (thrown: unknown) => {
          setAsked(null);
          setError(errorOf(thrown));
        }
      );
    },
    [attempt, take]
  );
  const stop = useCallback(() => {
    run('cancel', () => backend.act('cancel', { job: id }));
  }, [backend, id, run]);
  const resume = useCallback(
    (checkpoint?: CheckpointDocument) => {
      const from = checkpoint === undefined ? {} : { checkpoint: checkpoint.uri };
      run('resume', () => backend.act('resume', { job: id, ...from }));
    },
    [backend, id, run]
  );
  const dismiss = useCallback(() => {
    setError(null);
  }, []);
  return { state: shownState(job, asked), error, stop, resume, dismiss };
}

function shownState(job: JobDocument, asked: Asked | null): JobState | 'stopping' {
  if (asked?.attempt !== job.attempt) {
    return job.state;
  }
  if (asked.deed === 'resume') {
    return hasEnded(job.state) ? 'starting' : job.state;
  }
  return hasEnded(job.state) ? job.state : 'stopping';
}
