import { defaultRangeExtractor, useVirtualizer } from '@tanstack/react-virtual';
import type { Range } from '@tanstack/react-virtual';
import type { CSSProperties, JSX, KeyboardEvent } from 'react';
import { memo, useCallback, useLayoutEffect, useRef, useState } from 'react';

/** Up to so many rows are simply there: the browser's search finds them, and nothing has to be measured. */
const FEW = 60;
const PAGE = 8;
/** So many pixels before the end more is asked for. */
const NEAR_END = 400;

/**
 * A list of any length with one stop of the Tab key: arrows, PageUp, PageDown, Home and End move; the menu key or
 * Shift-F10 opens a row's menu. Only rows that are seen exist.
 */
export function RowList<T>(props: {
  label: string;
  rows: readonly T[];
  idOf: (row: T) => string;
  /** Height of a row before it is measured. */
  height: number;
  /** A row; its main button takes the tab index. */
  render: (row: T, tabIndex: number) => JSX.Element;
  onDelete?: (row: T) => void;
  /** Whether its first row gets the focus when it comes. */
  takesFocus?: boolean;
  /** The end comes into view. */
  onNearEnd?: () => void;
}): JSX.Element {
  const { rows, idOf, height, render, onDelete, onNearEnd } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [activeId, setActiveId] = useState<string | null>(null);
  const wanted = useRef(props.takesFocus === true);
  const found = activeId === null ? 0 : rows.findIndex(row => idOf(row) === activeId);
  const active = Math.max(0, found);
  const virtual = rows.length > FEW;

  const keyOf = useCallback(
    (index: number) => {
      const row = rows[index];
      return row === undefined ? index : idOf(row);
    },
    [rows, idOf]
  );
  const withActive = useCallback(
    (range: Range) => {
      const seen = defaultRangeExtractor(range);
      // The row that has the focus stays, wherever one scrolls.
      return active < range.count && !seen.includes(active)
        ? [...seen, active].sort((a, b) => a - b)
        : seen;
    },
    [active]
  );
  const virtualizer = useVirtualizer({
    count: virtual ? rows.length : 0,
    getScrollElement: () => scroller.current,
    estimateSize: () => height,
    getItemKey: keyOf,
    rangeExtractor: withActive,
    overscan: 6
  });

  useLayoutEffect(() => {
    if (wanted.current) {
      const main = scroller.current?.querySelector<HTMLElement>(
        `[data-index="${String(active)}"] [data-row-main]`
      );
      // A row of a long list may come a moment later, when its place has been measured.
      wanted.current = main === undefined || main === null;
      main?.focus();
    }
  });

  const onKeyDown = (event: KeyboardEvent<HTMLElement>): void => {
    const target = event.target instanceof HTMLElement ? event.target : null;
    // Keys in a question, a form or a card that a row holds are theirs.
    const head = target?.closest('[data-row-head]') ?? null;
    if (target === null || head === null || target.closest('[role="menu"]') !== null) {
      return;
    }
    const moves: Record<string, number> = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      PageDown: active + PAGE,
      PageUp: active - PAGE,
      Home: 0,
      End: rows.length - 1
    };
    const move =
      target.matches('[aria-haspopup]') && event.key === 'ArrowDown' ? undefined : moves[event.key];
    const row = rows[active];
    if (move !== undefined) {
      const to = Math.max(0, Math.min(rows.length - 1, move));
      const next = rows[to];
      wanted.current = true;
      setActiveId(next === undefined ? null : idOf(next));
      if (to === active) {
        wanted.current = false;
      }
    } else if (event.key === 'ContextMenu' || (event.key === 'F10' && event.shiftKey)) {
      head.querySelector<HTMLElement>('[aria-haspopup]')?.click();
    } else if (event.key === 'Delete' && onDelete !== undefined && row !== undefined) {
      onDelete(row);
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  };

  const item = (row: T, index: number, style?: CSSProperties): JSX.Element => (
    <li
      key={idOf(row)}
      data-index={index}
      aria-posinset={index + 1}
      aria-setsize={rows.length}
      ref={virtual ? virtualizer.measureElement : null}
      style={style}
      onFocus={() => {
        setActiveId(idOf(row));
      }}
    >
      <Drawn row={row} tabIndex={index === active ? 0 : -1} render={render} />
    </li>
  );
  return (
    <div
      ref={scroller}
      className="rc-RowList"
      onScroll={event => {
        const { scrollTop, clientHeight, scrollHeight } = event.currentTarget;
        if (scrollTop + clientHeight > scrollHeight - NEAR_END) {
          onNearEnd?.();
        }
      }}
    >
      <ul
        role="list"
        aria-label={props.label}
        data-lm-suppress-shortcuts="true"
        style={virtual ? { height: virtualizer.getTotalSize() } : undefined}
        onKeyDown={onKeyDown}
      >
        {virtual
          ? virtualizer.getVirtualItems().map(seen => {
              const row = rows[seen.index];
              return row === undefined
                ? null
                : item(row, seen.index, {
                    position: 'absolute',
                    insetInline: 0,
                    top: 0,
                    transform: `translateY(${String(seen.start)}px)`
                  });
            })
          : rows.map((row, index) => item(row, index))}
      </ul>
    </div>
  );
}

/** What a row holds: while one only scrolls it is not made anew. */
const Drawn = memo(function Drawn<T>(props: {
  row: T;
  tabIndex: number;
  render: (row: T, tabIndex: number) => JSX.Element;
}): JSX.Element {
  return props.render(props.row, props.tabIndex);
}) as <T>(props: {
  row: T;
  tabIndex: number;
  render: (row: T, tabIndex: number) => JSX.Element;
}) => JSX.Element;
