import type { Series, SeriesDocument } from '../api/documents';
import { heightAt } from './nearest';

/** What an x axis counts. */
export type XKind = 'step' | 'time';

/** Points of one series, ascending in x. */
export interface Placed {
  xs: number[];
  values: (number | null)[];
}

/** Points that have a step, ascending in step and in time. */
interface Stepped extends Placed {
  times: number[];
  /** Whether every point of the series has a step. */
  complete: boolean;
}

/** The x of everything of one job. */
export interface Placement {
  /** Whether its steps count through the whole job; otherwise its points are numbered. */
  hasSteps: boolean;
  series: (series: Series, kind: XKind) => Placed;
  /** The x of something that happened at a time (seconds since 1970); null where it has no place. */
  moment: (time: number, step: number | null, kind: XKind) => number | null;
}

/**
 * Steps of a series that go up through the whole job. An attempt that goes on from a checkpoint repeats steps: what
 * it measures replaces what was measured before. Null when steps begin anew more often than the job did (once an
 * epoch, say): such steps are no place in the job.
 */
function throughJob(series: Series, restarts: number): Stepped | null {
  const [xs, times, values]: [number[], number[], (number | null)[]] = [[], [], []];
  let falls = 0;
  let previous = -Infinity;
  let complete = true;
  for (const [index, step] of series.steps.entries()) {
    const time = series.times[index];
    if (step === null || time === undefined) {
      complete = false;
      continue;
    }
    falls += step < previous ? 1 : 0;
    previous = step;
    while (xs.length > 0 && (xs[xs.length - 1] ?? step) >= step) {
      xs.pop();
      times.pop();
      values.pop();
    }
    xs.push(step);
    times.push(time);
    values.push(series.values[index] ?? null);
  }
  return xs.length > 0 && falls <= restarts ? { xs, times, values, complete } : null;
}

function byTime(series: Series, xOf: (time: number) => number): Placed {
  const points = series.times.map((time, index) => ({
    x: xOf(time),
    value: series.values[index] ?? null
  }));
  points.sort((one, other) => one.x - other.x);
  // Of several points at one x the last one stands.
  const kept = points.filter((point, index) => points[index + 1]?.x !== point.x);
  return { xs: kept.map(point => point.x), values: kept.map(point => point.value) };
}

/** Find the place of a job's points on the x axis. */
export function placementOf(document: SeriesDocument): Placement {
  const restarts = document.marks.length;
  const origin = Math.min(
    ...document.series.flatMap(series => series.times.slice(0, 1)),
    ...(document.machine?.times.slice(0, 1) ?? [])
  );
  const stepped = new Map(
    document.series.map(series => [series.name, throughJob(series, restarts)] as const)
  );
  const clock = [...stepped.values()].reduce<Stepped | null>(
    (longest, points) =>
      points !== null && points.xs.length > (longest?.xs.length ?? 0) ? points : longest,
    null
  );
  const { times: clockTimes, xs: clockSteps } = clock ?? { times: [], xs: [] };
  const stepAt = (time: number): number => heightAt(clockTimes, clockSteps, time) ?? 0;
  const shared = sharing();
  return {
    hasSteps: clockSteps.length > 0,
    series: (series, kind) => {
      if (kind === 'time') {
        return shared(byTime(series, time => time - origin));
      }
      const points = stepped.get(series.name) ?? null;
      if (points?.complete === true) {
        return shared(points);
      }
      // A line without a step of its own was printed while the job was at some step.
      if (clockSteps.length > 0) {
        return shared(byTime(series, stepAt));
      }
      return shared({ xs: series.values.map((_, index) => index + 1), values: series.values });
    },
    moment: (time, step, kind) => {
      if (kind === 'time') {
        return Number.isFinite(origin) ? time - origin : null;
      }
      return clockSteps.length > 0 ? (step ?? stepAt(time)) : null;
    }
  };
}

/** What is printed on one line has the same x: one list for all lets everything after be done once. */
function sharing(): (placed: Placed) => Placed {
  const lists: number[][] = [];
  return ({ xs, values }) => {
    const known = lists.find(
      list => list.length === xs.length && list.every((x, index) => x === xs[index])
    );
    if (known === undefined) {
      lists.push(xs);
    }
    return { xs: known ?? xs, values };
  };
}
