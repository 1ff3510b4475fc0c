/** What a row says of a job. */
import type { JobDocument } from '../api/documents';
import { secondsBetween } from '../card/clock';
import { hasEnded } from '../card/states';
import { countText, durationText, moneyText, rateText } from '../ui/format';

/** Living ones first, then the newest. */
export function jobOrder(a: JobDocument, b: JobDocument): number {
  const ended = Number(hasEnded(a.state)) - Number(hasEnded(b.state));
  return ended !== 0 ? ended : b.created_at.localeCompare(a.created_at) || b.id.localeCompare(a.id);
}

/** Whether a job is meant by what was typed: its name, id or state. */
export function jobMatches(job: JobDocument, typed: string): boolean {
  const wanted = typed.trim().toLowerCase();
  return [job.name, job.id, job.state].some(text => text.toLowerCase().includes(wanted));
}

/** State, how long, and how far or why. */
export function jobLine(job: JobDocument, state: string, now: number): string {
  const elapsed = durationText(
    secondsBetween(job.started_at ?? job.created_at, job.ended_at ?? now)
  );
  return hasEnded(job.state)
    ? [state, job.cause?.message ?? '', elapsed].filter(part => part !== '').join(' · ')
    : [state, elapsed, whereText(job)].filter(part => part !== '').join(' · ');
}

function whereText(job: JobDocument): string {
  const { step, total } = job.progress ?? { step: null, total: null };
  if (job.phase === 'training' && step !== null) {
    return `step ${countText(step)}${total === null ? '' : ` of ${countText(total)}`}`;
  }
  const phase = job.phases.at(-1);
  return phase === undefined || phase.detail === '' ? job.phase : `${phase.name}: ${phase.detail}`;
}

/** What it costs: so far, and each hour or that it has ended. */
export function costSide(
  cost: number | null,
  rate: number | null,
  ended: string | null
): [string, string] {
  return [cost === null ? '–' : moneyText(cost), ended ?? (rate === null ? '' : rateText(rate))];
}
