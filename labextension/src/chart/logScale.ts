/**
 * Where a logarithmic axis ends below: a decade under the smallest value above zero, when there are others that are
 * not above zero and need a place. Null when nothing is above zero: such values have no logarithm at all.
 */
export function logFloor(lists: readonly (readonly (number | null)[])[]): number | null {
  let smallest = Infinity;
  let unplaced = false;
  for (const list of lists) {
    for (const value of list) {
      if (value !== null && value > 0) {
        smallest = Math.min(smallest, value);
      } else if (value !== null) {
        unplaced = true;
      }
    }
  }
  if (smallest === Infinity) {
    return null;
  }
  return unplaced ? 10 ** (Math.floor(Math.log10(smallest)) - 1) : smallest;
}

/** Values for a logarithmic axis: what is not above zero lies on the floor. */
export function clampToFloor(values: readonly (number | null)[], floor: number): (number | null)[] {
  return values.map(value => (value === null ? null : Math.max(value, floor)));
}

/** Ends of a logarithmic axis for values between two that are above zero: a little more than they need. */
export function logRange(min: number, max: number): [number, number] {
  const span = Math.log10(max / min);
  const room = 10 ** (span > 0 ? span / 20 : 0.1);
  return [min / room, max * room];
}
