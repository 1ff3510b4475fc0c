/**
 * Exponential moving average with `weight` (0 to below 1) on what was before. It begins at the first value and not at
 * zero: each mean is divided by the weights it is made of. A gap stays a gap and is not part of the mean.
 */
export function smooth(values: readonly (number | null)[], weight: number): (number | null)[] {
  let mean = 0;
  let missing = 1;
  return values.map(value => {
    if (value === null) {
      return null;
    }
    mean = mean * weight + value * (1 - weight);
    missing *= weight;
    return mean / (1 - missing);
  });
}
