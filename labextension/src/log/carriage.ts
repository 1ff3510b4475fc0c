/**
 * The last state of a line that a progress bar has written over: what follows the last `\r`.
 *
 * A `\r` at the very end is kept, for it only writes over the line if something follows.
 */
export function lastState(text: string): string {
  if (!text.includes('\r')) {
    return text;
  }
  let end = text.length;
  while (end > 0 && text.charAt(end - 1) === '\r') {
    end -= 1;
  }
  const begin = end === 0 ? 0 : text.lastIndexOf('\r', end - 1) + 1;
  return text.slice(begin, end) + (end < text.length ? '\r' : '');
}

/** A line as it is shown: its last state, without the `\r` of a `\r\n`. */
export function shownState(text: string): string {
  const state = lastState(text);
  return state.endsWith('\r') ? state.slice(0, -1) : state;
}

/** Whole lines as they are shown. */
export function shownLines(text: string): string {
  return text.includes('\r') ? text.split('\n').map(shownState).join('\n') : text;
}

/** Whether a line writes over what was there before it. */
export function writesOver(line: string): boolean {
  return /\r[^\r]/.test(line);
}
