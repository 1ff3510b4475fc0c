/** Index of the entry of ascending `xs` that is nearest to `x`; -1 when there is none. */
export function nearestIndex(xs: readonly number[], x: number): number {
  const after = firstAtLeast(xs, x);
  const right = xs[after];
  const left = xs[after - 1];
  if (right === undefined) {
    return xs.length - 1;
  }
  return left !== undefined && x - left <= right - x ? after - 1 : after;
}

/** Index of the first entry of ascending `xs` that is not below `x`; the length when all are. */
export function firstAtLeast(xs: readonly number[], x: number): number {
  let low = 0;
  let high = xs.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((xs[middle] ?? Infinity) < x) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/** Height of the line through the points at `x`: between two of them, or that of the end beyond the ends. */
export function heightAt(
  xs: readonly number[],
  ys: readonly (number | null)[],
  x: number
): number | null {
  const after = Math.min(firstAtLeast(xs, x), xs.length - 1);
  const before = xs[after] === x ? after : Math.max(0, Math.min(after - 1, xs.length - 1));
  const [x0, x1, y0, y1] = [xs[before], xs[after], ys[before], ys[after]];
  if (x0 === undefined || x1 === undefined) {
    return null;
  }
  if (typeof y0 !== 'number' || typeof y1 !== 'number') {
    return y0 ?? y1 ?? null;
  }
  const share = x1 > x0 ? Math.min(1, Math.max(0, (x - x0) / (x1 - x0))) : 0;
  return y0 + (y1 - y0) * share;
}

/**
 * Index of the point that stands for `x` in a legend: the nearest one, or -1 where the line does not reach. Lines
 * differ in how often they are measured: the pace of the line itself says how far off it still counts.
 */
export function readingAt(xs: readonly number[], x: number): number {
  const [first, last] = [xs[0], xs[xs.length - 1]];
  if (first === undefined || last === undefined) {
    return -1;
  }
  const pace = xs.length > 1 ? (last - first) / (xs.length - 1) : 0;
  return x < first - pace || x > last + pace ? -1 : nearestIndex(xs, x);
}
