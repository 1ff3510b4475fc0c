import type { CardDocument, CheckpointDocument } from '../api/documents';
import { countText, cutMiddle } from '../ui/format';
import type { Question } from '../ui/Confirm';
import { agoText } from './clock';

/** The checkpoint from which a next attempt would begin. */
export function newestCheckpoint(checkpoints: CheckpointDocument[]): CheckpointDocument | null {
  return checkpoints.find(each => each.latest) ?? checkpoints.at(-1) ?? null;
}

/** `step 6,100`, or the name of a checkpoint that says no step. */
export function placeOf(checkpoint: CheckpointDocument): string {
  return checkpoint.step === null
    ? cutMiddle(checkpoint.name, 28)
    : `step ${countText(checkpoint.step)}`;
}

/** What to ask before a job is stopped: what is lost since its last checkpoint, and what is kept. */
export function stopQuestion(card: CardDocument, now: number): Question {
  const { job, checkpoints } = card;
  const store = job.target === 'local' ? 'on this computer' : 'in S3';
  const count = Math.max(job.checkpoint_count, checkpoints.length);
  const saved = count === 0 ? '' : `, ${String(count)} checkpoint${count === 1 ? '' : 's'}`;
  const begun = job.phases.some(phase => phase.name === 'training');
  return {
    title: `Stop ${cutMiddle(job.name, 40)}?`,
    lost: lostText(card, begun, now),
    kept: `its log${saved} and uploaded outputs, ${store}.${begun ? ' The script is told to save first and has 90 s.' : ''}`,
    verb: 'Stop'
  };
}

function lostText({ job, checkpoints }: CardDocument, begun: boolean, now: number): string {
  if (!begun) {
    return 'nothing, the script has not begun.';
  }
  const newest = newestCheckpoint(checkpoints);
  if (newest === null) {
    return 'all it has done, there is no checkpoint yet.';
  }
  const step = job.progress?.step ?? null;
  const steps = step === null || newest.step === null ? null : step - newest.step;
  const far =
    steps === null || steps < 0 ? '' : `, ${countText(steps)} step${steps === 1 ? '' : 's'}`;
  return `what it has done since the checkpoint of ${placeOf(newest)} (${agoText(newest.created_at, now)}${far}).`;
}
