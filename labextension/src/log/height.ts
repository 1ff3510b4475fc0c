import { LINE_PX } from './useLines';

/** What lies below the lines: the scroller's padding and the bar in one row. */
const BELOW_PX = 8 + 37;

/** The height of a log in which so many lines stand whole, none cut at the top, while it follows. */
export function heightOf(lines: number): number {
  return lines * LINE_PX + BELOW_PX;
}

/** How many whole lines a log of at most this height has. */
export function linesIn(height: number): number {
  return Math.floor((height - BELOW_PX) / LINE_PX);
}
