import type { JSX, KeyboardEvent } from 'react';

import type { Area } from './area';
import { xPixel, yPixel } from './area';
import { nearestIndex } from './nearest';
import type { Reading } from './reading';

/** How near to the left edge the middle of the cursor's text may come, in pixels. */
const TEXT_EDGE = 28;

/** A vertical through the point that is read, where it is, and a dot on each line. Nothing of it is clicked. */
export function Crosshair(props: {
  x: number;
  text: string;
  readings: Reading[];
  area: Area;
}): JSX.Element {
  const { area } = props;
  const left = xPixel(area, props.x);
  return (
    <>
      <div className="rc-Crosshair" style={{ left }} />
      <span className="rc-Crosshair-text rc-num" style={{ left: Math.max(TEXT_EDGE, left) }}>
        {props.text}
      </span>
      {props.readings.map(({ line, index, value }) => {
        const x = line.xs[index];
        return (
          value !== null &&
          x !== undefined && (
            <div
              key={line.key}
              className="rc-Crosshair-dot"
              style={{
                left: xPixel(area, x),
                top: yPixel(area, value),
                background: line.color
              }}
            />
          )
        );
      })}
    </>
  );
}

/** How many points a key moves the cursor by. */
function moved(key: string, index: number, count: number): number | null {
  const page = Math.max(1, Math.round(count / 10));
  switch (key) {
    case 'ArrowLeft':
    case 'ArrowDown':
      return index - 1;
    case 'ArrowRight':
    case 'ArrowUp':
      return index + 1;
    case 'PageDown':
      return index - page;
    case 'PageUp':
      return index + page;
    case 'Home':
      return 0;
    case 'End':
      return count - 1;
    default:
      return null;
  }
}

/** The cursor for the keyboard: a slider over all points of a chart, whose value is what is read there. */
export function CursorKeys(props: {
  xs: number[];
  x: number | null;
  label: string;
  /** What is read, in a sentence; a screen reader says it when it changes. */
  text: string;
  onMove: (x: number | null) => void;
}): JSX.Element {
  const { xs } = props;
  const index = props.x === null ? xs.length - 1 : nearestIndex(xs, props.x);
  const onKeyDown = (event: KeyboardEvent): void => {
    if (event.key === 'Escape' && props.x !== null) {
      event.stopPropagation();
      props.onMove(null);
      return;
    }
    const next = moved(event.key, index, xs.length);
    if (next !== null) {
      event.preventDefault();
      event.stopPropagation();
      props.onMove(xs[Math.min(xs.length - 1, Math.max(0, next))] ?? null);
    }
  };
  return (
    <div
      className="rc-CursorKeys"
      role="slider"
      tabIndex={0}
      aria-label={props.label}
      aria-valuemin={xs[0] ?? 0}
      aria-valuemax={xs[xs.length - 1] ?? 0}
      aria-valuenow={xs[index] ?? 0}
      aria-valuetext={props.text}
      onKeyDown={onKeyDown}
      onBlur={() => {
        props.onMove(null);
      }}
    />
  );
}
