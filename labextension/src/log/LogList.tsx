import type { JSX, KeyboardEvent } from 'react';
import { useEffect } from 'react';

import { sizeText } from '../ui/format';
import { LogRow } from './LogRow';
import type { LogModel } from './LogModel';
import { LIMITS } from './LogModel';
import type { Lines } from './useLines';
import { HEAD_PX } from './useLines';

interface ListProps {
  model: LogModel;
  lines: Lines;
  wrap: boolean;
  times: boolean;
  pattern: RegExp | null;
  /** Number of the line that the search has come to. */
  current: number | null;
}

/** The lines in view, and a few around them. */
export function LogList(props: ListProps): JSX.Element {
  const { model, lines, wrap } = props;
  const { scroller, list, items, start, stay } = lines;
  useStayWhileSelecting(lines);

  const onKeyDown = (event: KeyboardEvent): void => {
    lines.onMove();
    if (event.target !== event.currentTarget || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    }
    if (event.key === 'Home') {
      event.preventDefault();
      lines.toBegin();
    } else if (event.key === 'End') {
      event.preventDefault();
      lines.follow();
    } else if (event.key === 'PageUp' || event.key === 'ArrowUp') {
      stay();
    }
  };

  return (
    <div
      ref={scroller}
      className={`rc-Log-scroller${wrap ? ' rc-Log-wrapped' : ''}`}
      role="log"
      aria-live="off"
      aria-label="Log"
      tabIndex={0}
      data-lm-suppress-shortcuts="true"
      onScrollCapture={lines.onScroll}
      onWheel={lines.onMove}
      onPointerDown={lines.onMove}
      onTouchMove={lines.onMove}
      onKeyDown={onKeyDown}
    >
      <div className="rc-Log-all" style={{ height: list.getTotalSize() }}>
        {start === model.text.firstLine && model.text.start > 0 && <Earlier {...props} />}
        <div
          className="rc-Log-shown"
          style={{ transform: `translateY(${String(items[0]?.start ?? 0)}px)` }}
        >
          {items.map(item => {
            const number = start + item.index;
            const line = model.text.line(number);
            return (
              <LogRow
                // Lines of equal height use their elements again; those that are measured keep their own.
                key={wrap ? number : item.index}
                index={item.index}
                text={line?.text ?? ''}
                time={line?.time ?? null}
                runner={line?.origin === 'runner'}
                times={props.times}
                pattern={props.pattern}
                current={number === props.current}
                measure={wrap ? list.measureElement : undefined}
              />
            );
          })}
        </div>
      </div>
    </div>
  );
}

/** What lies before the first line, and a way to it. */
function Earlier({ model, lines }: ListProps): JSX.Element {
  const { start } = model.text;
  const { loadingEarlier, canLoadEarlier } = model;
  const page = Math.min(start, LIMITS.page);
  return (
    <div className="rc-Log-earlier" style={{ height: HEAD_PX }}>
      <button
        type="button"
        className="rc-Log-link"
        disabled={loadingEarlier || !canLoadEarlier}
        title={canLoadEarlier ? undefined : 'No more is held here; download the log for the rest'}
        onClick={() => {
          lines.stay();
          // The button goes away with what it loads.
          lines.scroller.current?.focus({ preventScroll: true });
          void model.loadEarlier();
        }}
      >
        {loadingEarlier ? 'loading…' : `load ${sizeText(page)}`}
      </button>
      <span> of {sizeText(start)} before this</span>
    </div>
  );
}

/** Lines that come would move what is being selected. */
function useStayWhileSelecting({ scroller, stay }: Lines): void {
  useEffect(() => {
    const onSelection = (): void => {
      const selection = document.getSelection();
      if (
        selection !== null &&
        !selection.isCollapsed &&
        scroller.current?.contains(selection.anchorNode) === true
      ) {
        stay();
      }
    };
    document.addEventListener('selectionchange', onSelection);
    return () => {
      document.removeEventListener('selectionchange', onSelection);
    };
  }, [scroller, stay]);
}
