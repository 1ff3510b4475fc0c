import { useEffect, useMemo, useReducer, useRef } from 'react';

import type { FollowedLog } from './useLog';
import { LogSearch, wanted } from './LogSearch';
import { lastAtMost } from './lastAtMost';

/** A slice of searching; the page draws between two. */
const SLICE_MS = 12;

/** What is known of a search. */
export interface Found {
  /** What to highlight; null if nothing is searched for. */
  pattern: RegExp | null;
  /** Why what was typed is no regular expression; empty if it is. */
  mistake: string;
  /** Numbers of the lines found so far, rising. */
  lines: number[];
  /** Whether there is more to search. */
  busy: boolean;
}

/** Search what is held of a log, in slices, and what comes while the search is open. */
export function useSearch(log: FollowedLog, typed: string, regular: boolean): Found {
  const want = useMemo(() => wanted(typed, regular), [typed, regular]);
  const search = useRef<{ of: RegExp; search: LogSearch; busy: boolean } | null>(null);
  const [, redraw] = useReducer((count: number) => count + 1, 0);
  const pattern = want !== null && 'pattern' in want ? want.pattern : null;
  const words = want !== null && 'words' in want && want.words;
  const { text } = log.model;

  useEffect(() => {
    if (pattern === null) {
      search.current = null;
      redraw();
      return undefined;
    }
    const known = search.current;
    const current =
      known !== null && known.of === pattern && known.search.isOf(text)
        ? known
        : // Of its own: a pattern that is used remembers where it was.
          { of: pattern, search: new LogSearch(text, new RegExp(pattern), words), busy: true };
    search.current = current;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const slice = (): void => {
      current.busy = current.search.step(performance.now() + SLICE_MS);
      redraw();
      timer = current.busy ? setTimeout(slice) : undefined;
    };
    slice();
    return () => {
      clearTimeout(timer);
    };
  }, [pattern, words, text, log.version]);

  const current = search.current;
  return {
    pattern,
    mistake: want !== null && 'mistake' in want ? want.mistake : '',
    lines: current?.search.lines() ?? [],
    busy: current?.busy ?? false
  };
}

/** Number of the line to go to from line `from`, forwards or backwards and round the end; null if none was found. */
export function nextFound(lines: number[], from: number, forwards: boolean): number | null {
  if (forwards) {
    return lines[lastAtMost(lines.length, i => lines[i], from) + 1] ?? lines[0] ?? null;
  }
  return lines[lastAtMost(lines.length, i => lines[i], from - 1)] ?? lines.at(-1) ?? null;
}
