import { durationText } from '../ui/format';

/** Distances between ticks of an axis of steps: whole numbers. */
export const STEP_DISTANCES: number[] = Array.from({ length: 13 }, (_, power) => power).flatMap(
  power => [1, 2, 5].map(digit => digit * 10 ** power)
);

/** Distances between ticks of an axis of time, in seconds: what clocks are divided by. */
export const TIME_DISTANCES: number[] = [
  1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 14_400, 21_600, 43_200, 86_400, 172_800,
  432_000, 864_000, 2_592_000
];

/** Texts of ticks of an axis of values, all with the same digits after the point. */
export function valueTicks(ticks: readonly number[]): string[] {
  const largest = Math.max(0, ...ticks.map(Math.abs));
  const distance = ticks.length > 1 ? Math.abs((ticks[1] ?? 0) - (ticks[0] ?? 0)) : largest;
  if (largest === 0) {
    return ticks.map(String);
  }
  if (largest >= 1e5 || largest < 1e-2) {
    const digits = decimalsOf(distance / 10 ** Math.floor(Math.log10(largest)));
    return ticks.map(tick => (tick === 0 ? '0' : tick.toExponential(Math.min(digits, 3))));
  }
  const decimals = decimalsOf(distance);
  return ticks.map(tick => tick.toFixed(decimals));
}

/** How many digits after the point a distance between ticks needs. */
function decimalsOf(distance: number): number {
  let decimals = 0;
  let scaled = distance;
  while (decimals < 6 && Math.abs(scaled - Math.round(scaled)) > scaled * 1e-6) {
    decimals += 1;
    scaled *= 10;
  }
  return decimals;
}

/** Text of one tick of a logarithmic axis: its neighbours are decades away, so it has its own digits. */
export function logTick(tick: number): string {
  return tick >= 1e5 || tick < 1e-3
    ? tick.toExponential(0)
    : Number(tick.toPrecision(3)).toString();
}

// Made once: making one takes longer than all texts of a chart.
const WHOLE = new Intl.NumberFormat('en-US');
const COMPACT = new Intl.NumberFormat('en-US', { notation: 'compact', maximumFractionDigits: 2 });

/** Text of a tick of an axis of steps. */
export function stepTick(step: number): string {
  return (step >= 1e5 ? COMPACT : WHOLE).format(step);
}

/** Text of a tick of an axis of time since the first reading. */
export function timeTick(seconds: number): string {
  return seconds < 0 ? `-${durationText(-seconds)}` : durationText(seconds);
}

/** Round numbers between two, about four apart. */
function roundTicks(min: number, max: number): number[] {
  const rough = (max - min) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const distance = power * ([1, 2, 5].find(digit => digit * power >= rough) ?? 10);
  const first = Math.ceil(min / distance);
  const count = Math.floor(max / distance) - first + 1;
  return Array.from({ length: Math.max(0, count) }, (_, index) =>
    Number(((first + index) * distance).toPrecision(12))
  );
}

/** Ticks of a logarithmic axis, at most `most`: as many in each decade as there is room for. */
export function logTicks(min: number, max: number, most: number): number[] {
  if (!(min > 0) || !(max > min)) {
    return [];
  }
  const [low, high] = [Math.floor(Math.log10(min)), Math.ceil(Math.log10(max))];
  const inside = (digits: number[], every: number): number[] => {
    const found: number[] = [];
    for (let power = low; power <= high; power += every) {
      for (const digit of digits) {
        const tick = Number(`${String(digit)}e${String(power)}`);
        if (tick >= min && tick <= max) {
          found.push(tick);
        }
      }
    }
    return found;
  };
  for (const digits of [[1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 5], [1]]) {
    const ticks = inside(digits, 1);
    if (ticks.length <= most) {
      return ticks.length > 1 ? ticks : roundTicks(min, max);
    }
  }
  return inside([1], Math.ceil((high - low + 1) / most));
}
