import type { CheckpointDocument, JobDocument } from '../api/documents';
import { moneyText } from '../ui/format';
import { newestCheckpoint, placeOf } from './loss';

/** Why a job ended as it did, and what to do, a line each. */
export interface EndingText {
  what: string;
  next: string;
}

/** Kinds of causes (`run_record/schemas.py`) of which is known what helps. */
const HELP: Record<string, string> = {
  'out-of-memory': 'Make the batches smaller, or take a machine with more memory.',
  'cuda-out-of-memory': 'Make the batches smaller, or take a GPU with more memory.',
  'missing-module': "Name it among the script's dependencies or in --requirements FILE.",
  environment: 'The end of the log says which dependency it was.',
  data: 'Look whether --data-s3 is there and may be read.',
  secret: 'Look whether the secret is there and may be read.',
  upload: 'What was not uploaded is named at the end of the log.',
  launch: 'Try again, or another machine type or region.'
};

/** The two lines of an end that is not a success; null for other states. */
export function endingOf(job: JobDocument, checkpoints: CheckpointDocument[]): EndingText | null {
  if (!['failed', 'interrupted', 'capped', 'lost', 'cancelled'].includes(job.state)) {
    return null;
  }
  const known = job.cause === null ? undefined : HELP[job.cause.kind];
  const next =
    job.state === 'failed' ? (known ?? 'The end of the log says more.') : goingOn(job, checkpoints);
  return { what: whatOf(job), next };
}

function whatOf(job: JobDocument): string {
  const code =
    job.exit_code === null || job.exit_code === 0 ? '' : `exit code ${String(job.exit_code)}`;
  const message = job.cause?.message ?? '';
  if (message === '') {
    return code === '' ? `The job was ${job.state}.` : code;
  }
  return code === '' || message.includes(code) ? message : `${message} (${code})`;
}

function goingOn(job: JobDocument, checkpoints: CheckpointDocument[]): string {
  const newest = newestCheckpoint(checkpoints);
  const again =
    job.state === 'capped' && job.max_cost_usd !== null
      ? `, with a cap of ${moneyText(job.max_cost_usd)} of its own`
      : '';
  return newest === null
    ? `It has saved no checkpoint: a next attempt begins anew${again}.`
    : `A next attempt goes on from ${placeOf(newest)}${again}.`;
}
