import { metricText, sizeText } from '../ui/format';
import type { Line } from './lines';
import { readingAt } from './nearest';
import type { Unit } from './plotOptions';
import type { XKind } from './placement';
import { stepTick, timeTick } from './ticks';

/** What a line says at the cursor. */
export interface Reading {
  line: Line;
  /** Index of its point; -1 where it has none. */
  index: number;
  /** As drawn. */
  value: number | null;
  /** As measured. */
  measured: number | null;
}

/** The readings of all lines at `x`, or of their ends when there is no cursor. */
export function readings(lines: readonly Line[], x: number | null): Reading[] {
  return lines.map(line => {
    const index = x === null ? lastKnown(line.ys) : readingAt(line.xs, x);
    return {
      line,
      index,
      value: line.ys[index] ?? null,
      measured: line.values[index] ?? null
    };
  });
}

function lastKnown(values: readonly (number | null)[]): number {
  let index = values.length - 1;
  while (index >= 0 && values[index] === null) {
    index -= 1;
  }
  return index;
}

/** A value with its unit; a dash for none. */
export function valueText(value: number | null, unit: Unit): string {
  if (value === null) {
    return '–';
  }
  if (unit === 'number') {
    const small = value !== 0 && Math.abs(value) < 1e-3;
    return small ? value.toExponential(3) : metricText(value);
  }
  return unit === 'bytes' ? sizeText(value) : `${value.toFixed(0)} %`;
}

/** Where the cursor is. */
export function xText(x: number, kind: XKind): string {
  return kind === 'step' ? `step ${stepTick(x)}` : timeTick(x);
}

/** A line's name; with several jobs also whose it is. */
export function lineText(line: Line): string {
  return line.of === '' ? line.name : `${line.name}, ${line.of}`;
}

/** All that is read at the cursor, in a sentence. */
export function readingText(all: readonly Reading[], unit: Unit): string {
  return all
    .map(reading => `${lineText(reading.line)} ${valueText(reading.value, unit)}`)
    .join('; ');
}
