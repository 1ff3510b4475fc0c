import type { JobDocument, JobState } from '../api/documents';

const ENDED: ReadonlySet<JobState> = new Set([
  'succeeded',
  'failed',
  'cancelled',
  'interrupted',
  'capped',
  'lost'
]);

/** Whether nothing more will happen to the attempt. */
export function hasEnded(state: JobState): boolean {
  return ENDED.has(state);
}

/** Whether a next attempt makes sense: it has ended without having got through. */
export function canResume(job: JobDocument): boolean {
  return hasEnded(job.state) && job.state !== 'succeeded';
}

/** The end of an id, which people say. */
export function shortId(id: string): string {
  return id.slice(-4);
}
