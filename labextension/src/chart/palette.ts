/**
 * Colours of lines after Okabe and Ito, told apart by people who are colour-blind, each at least 3:1 on its ground.
 * Yellow and sky are too light for white, blue and vermilion too dark for black: two lists, the same hues in order.
 */
const ON_WHITE = ['#0072b2', '#00815e', '#c44d00', '#a8518a', '#8f6a00', '#525252'] as const;
const ON_BLACK = ['#56b4e9', '#2fc49a', '#ff8c4a', '#e08fc0', '#f0e442', '#bdbdbd'] as const;

/** Dashes, so that no line is known by its colour alone: full, dashed, dotted, … */
const DASHES: readonly (readonly number[])[] = [
  [],
  [4, 3],
  [1, 3],
  [8, 3],
  [8, 3, 2, 3],
  [4, 2, 1, 2, 1, 2]
];

/** How many colours there are before they come again. */
export const COLOURS = ON_WHITE.length;

/** Colour of the line or job with a number. */
export function colourOf(index: number, dark: boolean): string {
  const colours = dark ? ON_BLACK : ON_WHITE;
  return colours[index % COLOURS] ?? ON_WHITE[0];
}

/** Dash of the line with a number, in CSS pixels. Past the colours it moves on by one, so that pairs stay unique. */
export function dashOf(index: number): number[] {
  return [...(DASHES[(index + Math.floor(index / COLOURS)) % DASHES.length] ?? [])];
}

/** Relative luminance of `#rrggbb` or `rgb(…)` from 0 to 1, as WCAG defines it; null for other ways to write colours. */
export function luminance(colour: string): number | null {
  const hex = /^#([\da-f]{2})([\da-f]{2})([\da-f]{2})$/i.exec(colour);
  const rgb = /^rgba?\(\s*([\d.]+)[\s,]+([\d.]+)[\s,]+([\d.]+)/.exec(colour);
  const channels =
    hex !== null ? hex.slice(1, 4).map(part => parseInt(part, 16)) : rgb?.slice(1, 4).map(Number);
  if (channels === undefined) {
    return null;
  }
  const [red = 0, green = 0, blue = 0] = channels.map(channel => {
    const share = channel / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}
