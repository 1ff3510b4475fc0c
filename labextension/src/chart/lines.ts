import type { SeriesDocument } from '../api/documents';
import { familiesOf, ordered } from './families';
import { logFloor } from './logScale';
import { COLOURS, colourOf, dashOf } from './palette';
import type { Placement, XKind } from './placement';
import { smooth } from './smooth';

/** A line of a chart. */
export interface Line {
  key: string;
  /** The metric. */
  name: string;
  /** The job, when there are several. */
  of: string;
  color: string;
  dash: number[];
  /** Ascending. */
  xs: number[];
  /** What is drawn: smoothed, if asked for. */
  ys: (number | null)[];
  /** What was measured; when it is not what is drawn, it is drawn faintly behind. */
  values: (number | null)[];
}

/** Lines that share an axis. */
export interface Group {
  title: string;
  lines: Line[];
  /** Where its logarithmic axis ends below; null when its axis is linear. */
  floor: number | null;
}

/** A job to draw. */
export interface Drawn {
  id: string;
  name: string;
  document: SeriesDocument;
  placement: Placement;
}

/** How curves are looked at. */
export interface View {
  kind: XKind;
  log: boolean;
  /** Weight of what was before: 0 to 0.99. */
  smoothing: number;
}

/** Names of all series of some jobs, in the order of charts. */
export function namesOf(jobs: readonly Drawn[]): string[] {
  return ordered(jobs.flatMap(job => job.document.series.map(series => series.name)));
}

/** Group the series of `names` into charts. With several jobs a colour is a job; otherwise it is a series. */
export function groupsOf(
  jobs: readonly Drawn[],
  names: readonly string[],
  view: View,
  dark: boolean
): Group[] {
  const families = familiesOf(names, name => firstSize(jobs, name));
  const groups = new Map<string, Line[]>([...families.values()].map(family => [family, []]));
  const most = Math.max(
    1,
    ...jobs.flatMap(job => job.document.series.map(series => series.values.length))
  );
  jobs.forEach((job, jobIndex) => {
    for (const name of names) {
      const series = job.document.series.find(each => each.name === name);
      if (series === undefined) {
        continue;
      }
      const lines = groups.get(families.get(name) ?? '') ?? [];
      const { xs, values } = job.placement.series(series, view.kind);
      lines.push({
        key: `${job.id} ${name}`,
        name,
        of: jobs.length > 1 ? job.name : '',
        color: colourOf(jobs.length > 1 ? jobIndex : lines.length, dark),
        dash: dashOf(lines.length),
        xs,
        ys:
          view.smoothing > 0
            ? smooth(values, weightFor(view.smoothing, values.length, most))
            : values,
        values
      });
    }
  });
  return [...groups].map(([title, lines]) => ({
    title,
    lines,
    floor: view.log ? logFloor(lines.flatMap(line => [line.ys, line.values])) : null
  }));
}

/**
 * The weight for a series with fewer points than another: all are smoothed over the same stretch of the job. A dozen
 * values of a validation would otherwise be drawn far from where they are.
 */
function weightFor(weight: number, points: number, most: number): number {
  return weight ** (most / Math.max(1, points));
}

/** Size of the first value of a series that is not zero. */
function firstSize(jobs: readonly Drawn[], name: string): number | null {
  for (const job of jobs) {
    const series = job.document.series.find(each => each.name === name);
    const value = series?.values.find(each => each !== null && each !== 0) ?? null;
    if (value !== null) {
      return Math.abs(value);
    }
  }
  return null;
}

/** How many jobs can be laid over each other: as many as there are colours. */
export const MOST_JOBS = COLOURS;
