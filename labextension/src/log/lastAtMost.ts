/** Index of the last of `count` rising values that is at most `value`. */
export function lastAtMost(
  count: number,
  at: (index: number) => number | undefined,
  value: number
): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((at(middle) ?? Infinity) <= value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low - 1;
}
