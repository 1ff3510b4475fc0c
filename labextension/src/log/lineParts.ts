import type { AnserJsonEntry } from 'anser';
import Anser from 'anser';

/** A stretch of a line that looks the same all over. */
export interface Part {
  text: string;
  /** Classes for its colours, from `log.css`. */
  className: string;
  /** Colours that have no name, as `r, g, b`. */
  color: string | null;
  background: string | null;
  /** Where it leads to; an http address or null. */
  href: string | null;
  /** Whether it was searched for. */
  found: boolean;
}

/** Longer lines are drawn in part: nobody reads on, and the page would stop. */
export const DRAWN = 5000;

const ESC = '\u001b';
const NUL = '\u0000';
const BELL = '\u0007';
/** Commands to a terminal other than colours: for its window, for its cursor, and those of two characters. */
const COMMANDS = new RegExp(
  `${ESC}(?:\\][^${BELL}${ESC}\n]*(?:${BELL}|${ESC}\\\\)?|\\[[0-?]*[ -/]*[@-ln-~]|[^[\\]\n])`,
  'g'
);
const COLOURS = new RegExp(`${ESC}\\[[0-?]*[ -/]*m`, 'g');
/** A command that the end of the line has cut off, and characters that draw nothing; not tab, line end and escape. */
const REST = new RegExp(`${ESC}(?:\\[[0-?]*[ -/]*)?$|[${NUL}-\\u0008\\u000b-\\u001a\\u007f]`, 'gm');
const ADDRESS = /https?:\/\/[^\s"'<>`\\^{}|]+/g;
const NAMED = /^ansi-(?:bright-)?(?:black|red|green|yellow|blue|magenta|cyan|white)$/;

/** A text without what was meant for a terminal only. */
export function plainText(text: string): string {
  return text.includes(ESC)
    ? text.replace(COMMANDS, '').replace(COLOURS, '').replace(REST, '')
    : text;
}

/**
 * A line as parts to draw.
 *
 * @param raw - the line with its escape sequences
 * @param pattern - what is searched for, with the flag `g`; null if nothing is
 */
export function lineParts(raw: string, pattern: RegExp | null): Part[] {
  const parts = coloured(raw.replace(COMMANDS, '').replace(REST, ''));
  const text = parts.map(part => part.text).join('');
  const links = linksIn(text);
  const finds = pattern === null ? [] : spansOf(text, pattern);
  return links.length + finds.length === 0 ? parts : divided(parts, links, finds);
}

interface Span {
  from: number;
  to: number;
}

function coloured(text: string): Part[] {
  if (!text.includes(ESC)) {
    return text === '' ? [] : [part(text)];
  }
  return Anser.ansiToJson(text, { use_classes: true, remove_empty: true }).map(entry => ({
    ...part(entry.content),
    className: classesOf(entry),
    color: unnamed(entry.fg, entry.fg_truecolor),
    background: unnamed(entry.bg, entry.bg_truecolor)
  }));
}

function classesOf(entry: AnserJsonEntry): string {
  // The parser takes a page for white on black and swaps these two; here it is the page's own that are swapped.
  if (entry.decoration === 'reverse' && entry.fg === 'ansi-black' && entry.bg === 'ansi-white') {
    return 'rc-ansi-reverse';
  }
  return [
    named(entry.fg, 'rc-ansi-'),
    named(entry.bg, 'rc-ansi-on-'),
    ...entry.decorations.map(decoration => `rc-ansi-${decoration}`)
  ]
    .filter(name => name !== '')
    .join(' ');
}

function part(text: string): Part {
  return { text, className: '', color: null, background: null, href: null, found: false };
}

/** The class for one of the sixteen colours that have names. */
function named(colour: string | null, prefix: string): string {
  return colour !== null && NAMED.test(colour) ? prefix + colour.slice('ansi-'.length) : '';
}

/** One of the other colours, as `r, g, b`. */
function unnamed(colour: string | null, trueColour: string | null): string | null {
  if (colour === null || NAMED.test(colour)) {
    return null;
  }
  if (colour === 'ansi-truecolor') {
    return trueColour;
  }
  const index = Number(colour.slice('ansi-palette-'.length));
  if (index >= 232) {
    const grey = String(8 + (index - 232) * 10);
    return `${grey}, ${grey}, ${grey}`;
  }
  const cube = index - 16;
  return [Math.floor(cube / 36), Math.floor(cube / 6) % 6, cube % 6]
    .map(level => String(level === 0 ? 0 : 55 + 40 * level))
    .join(', ');
}

function linksIn(text: string): Span[] {
  if (!text.includes('://')) {
    return [];
  }
  return [...text.matchAll(ADDRESS)].map(match => {
    // A sentence's full stop or a bracket around the address is not part of it.
    const address = match[0].replace(/[.,;:!?)\]*]+$/, '');
    return { from: match.index, to: match.index + address.length };
  });
}

function spansOf(text: string, pattern: RegExp): Span[] {
  return [...text.matchAll(pattern)]
    .map(match => ({ from: match.index, to: match.index + match[0].length }))
    .filter(span => span.to > span.from);
}

/** Cut parts where links and finds begin and end. */
function divided(parts: Part[], links: Span[], finds: Span[]): Part[] {
  const text = parts.map(each => each.text).join('');
  const cuts = [...new Set([...links, ...finds].flatMap(span => [span.from, span.to]))].sort(
    (a, b) => a - b
  );
  const result: Part[] = [];
  let offset = 0;
  for (const each of parts) {
    const end = offset + each.text.length;
    const bounds = [offset, ...cuts.filter(cut => cut > offset && cut < end), end];
    for (const [index, from] of bounds.slice(0, -1).entries()) {
      const link = links.find(span => span.from <= from && from < span.to);
      result.push({
        ...each,
        text: text.slice(from, bounds[index + 1]),
        href: link === undefined ? null : text.slice(link.from, link.to),
        found: finds.some(span => span.from <= from && from < span.to)
      });
    }
    offset = end;
  }
  return result;
}
