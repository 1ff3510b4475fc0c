import type { Range, VirtualItem, Virtualizer } from '@tanstack/react-virtual';
import { useVirtualizer } from '@tanstack/react-virtual';
import type { RefObject } from 'react';
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';

import type { FollowedLog } from './useLog';

/** Height of a line that is not wrapped. */
export const LINE_PX = 18;
/** Room above the first line, for what leads to earlier ones. */
export const HEAD_PX = 32;
/**
 * Lines that the list knows at a time. The page could not be high enough for all, and the list takes time in
 * proportion to what it knows; towards an end of them it moves on by half.
 */
const WINDOW = 50_000;
/** So near to an end the list moves on. */
const NEAR = 500;
const OVERSCAN = 20;
/** So near to the end counts as at the end. */
const AT_END_PX = 4;

/** The list of lines: where it stands, and ways to move it. */
export interface Lines {
  scroller: RefObject<HTMLDivElement>;
  list: Virtualizer<HTMLDivElement, HTMLDivElement>;
  /** Places of the lines that are drawn. */
  items: VirtualItem[];
  /** Number of the line at index 0. */
  start: number;
  following: boolean;
  /** Lines that came since it does not follow any more. */
  unseen: number;
  /** Number of the line at the upper edge. */
  top: number;
  /** To be called before the list itself hears of a scroll. */
  onScroll: () => void;
  /** Take note that what comes next is done by a person. */
  onMove: () => void;
  follow: () => void;
  stay: () => void;
  toBegin: () => void;
  toLine: (number: number) => void;
}

/** Keep the list at the log's end while it follows, and where it is while it does not. */
export function useLines(log: FollowedLog, wrap: boolean): Lines {
  const { model, version } = log;
  const { text } = model;
  const scroller = useRef<HTMLDivElement>(null);
  // Scrolls are heard before React draws: the present answer is in the reference, the state is for drawing.
  const follows = useRef(true);
  const [following, setFollowing] = useState(true);
  const [first, setFirst] = useState(0);
  const [seen, setSeen] = useState(0);
  const [goal, setGoal] = useState<{ line: number; head: boolean } | null>(null);
  const reached = useRef(goal);
  const place = useRef({ top: 0, byPerson: true });

  const last = Math.max(text.firstLine, text.endLine - WINDOW);
  const start = following ? last : Math.min(Math.max(first, text.firstLine), text.endLine);
  const end = Math.min(text.endLine, start + WINDOW);
  const earlier = start === text.firstLine && text.start > 0;
  const complete = end === text.endLine;
  const begin = text.firstLine;

  const getItemKey = useCallback((index: number) => start + index, [start]);
  const rangeExtractor = useCallback(
    (range: Range): number[] => {
      const fitting = Math.ceil((scroller.current?.clientHeight ?? 0) / LINE_PX);
      const rows = Math.max(fitting, range.endIndex - range.startIndex + 1) + OVERSCAN;
      // While it follows, the end is drawn wherever the list believes to be: it hears of our scrolling a frame later.
      const from = following ? range.count - rows : range.startIndex - OVERSCAN;
      const to = following ? range.count : range.endIndex + 1 + OVERSCAN;
      return numbers(Math.max(0, from), Math.min(range.count, to));
    },
    [following]
  );
  const list = useVirtualizer<HTMLDivElement, HTMLDivElement>({
    count: end - start,
    getScrollElement: () => scroller.current,
    estimateSize: () => LINE_PX,
    paddingStart: earlier ? HEAD_PX : 0,
    overscan: OVERSCAN,
    getItemKey,
    rangeExtractor,
    // Lines that are put before or dropped do not move what is being read.
    anchorTo: following ? 'start' : 'end'
  });
  const total = list.getTotalSize();
  const items = list.getVirtualItems();
  const topIndex = list.range?.startIndex ?? 0;
  const lowIndex = list.range?.endIndex ?? topIndex;

  const stay = useCallback((): void => {
    if (follows.current) {
      follows.current = false;
      model.setReading(true);
      setFirst(Math.max(model.text.firstLine, model.text.endLine - WINDOW));
      setSeen(model.text.endLine);
      setFollowing(false);
    }
  }, [model]);

  const follow = useCallback((): void => {
    follows.current = true;
    model.setReading(false);
    setFollowing(true);
  }, [model]);

  const onScroll = useCallback((): void => {
    const element = scroller.current;
    if (element === null) {
      return;
    }
    const { scrollTop, scrollHeight, clientHeight } = element;
    const atEnd = scrollHeight - clientHeight - scrollTop <= AT_END_PX;
    const { top, byPerson } = place.current;
    place.current.top = scrollTop;
    if (follows.current && scrollTop < top - 1 && !atEnd) {
      stay();
    } else if (!follows.current && byPerson && atEnd && scrollTop > top && complete) {
      follow();
    }
  }, [stay, follow, complete]);

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element !== null && follows.current) {
      element.scrollTop = total;
      place.current.top = element.scrollTop;
    }
  }, [version, start, end, total, following, wrap]);

  // Lines keep the heights they were measured with; without wrapping all have the same.
  const wrapped = useRef(wrap);
  useLayoutEffect(() => {
    if (wrapped.current !== wrap) {
      wrapped.current = wrap;
      list.measure();
      if (!follows.current) {
        list.scrollToIndex(topIndex, { align: 'start' });
      }
    }
  });

  useEffect(() => {
    if (following) {
      return;
    }
    if (goal !== null && reached.current !== goal) {
      reached.current = goal;
      if (goal.head) {
        list.scrollToOffset(0);
      } else {
        list.scrollToIndex(goal.line - start, { align: 'center' });
      }
    } else if (topIndex < NEAR && start > begin) {
      setFirst(Math.max(begin, start - WINDOW / 2));
    } else if (start + lowIndex > end - NEAR && !complete) {
      setFirst(Math.min(last, start + WINDOW / 2));
    }
  }, [following, goal, list, topIndex, lowIndex, start, begin, end, last, complete]);

  const toLine = useCallback(
    (number: number, head = false): void => {
      stay();
      place.current.byPerson = false;
      setGoal({ line: number, head });
      setFirst(now => {
        const { firstLine, endLine } = model.text;
        const held = number >= now + NEAR && number < now + WINDOW - NEAR;
        const fit = Math.min(number - WINDOW / 2, endLine - WINDOW);
        return held ? now : Math.max(firstLine, fit);
      });
    },
    [model, stay]
  );

  return {
    scroller,
    list,
    items,
    start,
    following,
    unseen: following ? 0 : Math.max(0, text.endLine - seen),
    top: start + topIndex,
    onScroll,
    onMove: () => {
      place.current.byPerson = true;
    },
    follow,
    stay,
    toBegin: () => {
      toLine(model.text.firstLine, true);
    },
    toLine
  };
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from) }, (_, index) => from + index);
}
