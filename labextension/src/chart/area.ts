/** Where the plotted area lies in its chart, in CSS pixels, and what its edges stand for. */
export interface Area {
  left: number;
  top: number;
  width: number;
  height: number;
  xMin: number;
  xMax: number;
  yMin: number;
  yMax: number;
  log: boolean;
}

/** Distance of an x from the left edge of the area. */
export function xPixel(area: Area, x: number): number {
  return area.xMax > area.xMin ? ((x - area.xMin) / (area.xMax - area.xMin)) * area.width : 0;
}

/** The x at a distance from the left edge of the area. */
export function xAtPixel(area: Area, pixel: number): number {
  return area.xMin + (pixel / area.width) * (area.xMax - area.xMin);
}

/** Distance of a y from the top edge of the area; never outside of it. */
export function yPixel(area: Area, y: number): number {
  const scale = (value: number): number =>
    area.log ? Math.log10(Math.max(value, area.yMin)) : value;
  const [low, high] = [scale(area.yMin), scale(area.yMax)];
  const share = high > low ? (scale(y) - low) / (high - low) : 0;
  return (1 - Math.min(1, Math.max(0, share))) * area.height;
}

/**
 * Gather what would lie closer than `distance` pixels to another, so that each can be hit. `items` ascend in pixels; a
 * crowd stands where its last one is.
 */
export function crowds<T extends { pixel: number }>(
  items: readonly T[],
  distance: number
): { last: T; count: number }[] {
  const found: { last: T; count: number }[] = [];
  for (const item of [...items].reverse()) {
    const crowd = found[found.length - 1];
    if (crowd !== undefined && crowd.last.pixel - item.pixel < distance) {
      crowd.count += 1;
    } else {
      found.push({ last: item, count: 1 });
    }
  }
  return found.reverse();
}
