import type { JobDocument, Phase } from '../api/documents';
import { countText, durationText } from '../ui/format';
import { secondsBetween } from './clock';
import { hasEnded } from './states';

/** A part of the bar. */
export interface Stretch {
  name: string;
  state: 'done' | 'now' | 'next' | 'broken';
  /** Null for what has not begun. */
  seconds: number | null;
  detail: string;
}

/** Order of a job's life, and how many seconds each part usually takes at most; null where nothing is usual. */
const USUAL: Record<string, number | null> = {
  capacity: 30,
  boot: 60,
  environment: 60,
  data: 120,
  training: null,
  saving: null
};
const OWN_MACHINE = ['capacity', 'boot', 'environment', 'training'];
const GIVEN_MACHINE = ['environment', 'training'];

/** The bar of a job: what was, what is, and while it lives what comes. */
export function stretchesOf(job: JobDocument, now: number): Stretch[] {
  const ended = hasEnded(job.state);
  const broken = brokenPhase(job);
  const stretches: Stretch[] = [];
  job.phases.forEach((phase, index) => {
    const last = index === job.phases.length - 1;
    const end = phase.ended_at ?? job.ended_at ?? (ended ? job.updated_at : now);
    const seconds = secondsBetween(phase.began_at, end);
    const state = index === broken ? 'broken' : last && !ended ? 'now' : 'done';
    const name = titleOf(phase);
    const before = stretches.at(-1);
    if (before?.name === name) {
      before.seconds = (before.seconds ?? 0) + seconds;
      before.state = state;
      before.detail = phase.detail;
    } else {
      stretches.push({ name, state, seconds, detail: phase.detail });
    }
  });
  return ended ? stretches : [...stretches, ...coming(stretches)];
}

/** Index of the phase in which an attempt came to a bad end; -1 where none did. */
function brokenPhase({ state, phases, cause }: JobDocument): number {
  if (!hasEnded(state) || state === 'succeeded') {
    return -1;
  }
  const last = phases.length - 1;
  // What is there is saved whatever happened before: then it was not the saving that broke.
  const saved = phases[last]?.name === 'saving' && cause?.kind !== 'upload';
  return saved && last > 0 ? last - 1 : last;
}

/** Why the open stretch takes long; empty while it takes no longer than usual. */
export function slownessOf(stretches: Stretch[]): string {
  const open = stretches.find(each => each.state === 'now');
  const usual = open === undefined ? null : (USUAL[open.name] ?? null);
  if (open === undefined || usual === null || (open.seconds ?? 0) <= usual) {
    return '';
  }
  const reason = open.detail === '' ? '' : `: ${open.detail}`;
  return `${open.name} takes longer than the usual ${durationText(usual)}${reason}`;
}

/** How much of the steps is done, from 0 to 1; null when that is not known. */
export function shareOf(job: JobDocument): number | null {
  const { step, total } = job.progress ?? { step: null, total: null };
  return step === null || total === null || total <= 0
    ? null
    : Math.min(1, Math.max(0, step / total));
}

/** `step 6,100 of 10,000, about 46 m left`. */
export function progressText(job: JobDocument): string {
  const progress = job.progress;
  const step = progress?.step ?? null;
  if (progress === null || step === null) {
    return '';
  }
  const of = progress.total === null ? '' : ` of ${countText(progress.total)}`;
  const left =
    progress.left_s === null || hasEnded(job.state)
      ? ''
      : `, about ${durationText(roundedLeft(progress.left_s))} left`;
  return `step ${countText(step)}${of}${left}`;
}

/** An estimate has no seconds to give away beyond the first minutes. */
function roundedLeft(seconds: number): number {
  return seconds < 120 ? seconds : Math.round(seconds / 60) * 60;
}

function titleOf(phase: Phase): string {
  return phase.name === 'code' ? 'environment' : phase.name;
}

function coming(known: Stretch[]): Stretch[] {
  const first = known[0]?.name ?? 'capacity';
  const plan = first === 'capacity' || first === 'boot' ? OWN_MACHINE : GIVEN_MACHINE;
  const order = Object.keys(USUAL);
  const reached = Math.max(-1, ...known.map(each => order.indexOf(each.name)));
  return plan
    .filter(name => order.indexOf(name) > reached)
    .map(name => ({ name, state: 'next', seconds: null, detail: '' }));
}
