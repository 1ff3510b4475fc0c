import type { JSX, KeyboardEvent } from 'react';
import { useState } from 'react';

import type { CheckpointDocument } from '../api/documents';
import type { Area } from './area';
import { crowds, xPixel, yPixel } from './area';
import type { Line } from './lines';
import { heightAt } from './nearest';

/** A checkpoint at its place on the x axis. */
export interface PlacedCheckpoint {
  x: number;
  checkpoint: CheckpointDocument;
}

/** How far apart two points have to be to be hit, in pixels. */
const APART = 24;

/** Hollow points on a line, or at the axis when there is none. One is reached with Tab, the others with arrows. */
export function CheckpointPoints(props: {
  checkpoints: PlacedCheckpoint[];
  carrier: Line | null;
  area: Area;
  onOpen: (checkpoint: CheckpointDocument) => void;
}): JSX.Element {
  const { area, carrier } = props;
  const [current, setCurrent] = useState<string | null>(null);
  const placed = props.checkpoints
    .map(each => ({ ...each, pixel: Math.min(area.width, Math.max(0, xPixel(area, each.x))) }))
    .sort((one, other) => one.pixel - other.pixel);
  const points = crowds(placed, APART);
  const reached = points.some(point => point.last.checkpoint.uri === current)
    ? current
    : points[points.length - 1]?.last.checkpoint.uri;
  return (
    <div className="rc-Points" role="group" aria-label="checkpoints" onKeyDown={moveFocus}>
      {points.map(({ last: { checkpoint, pixel, x }, count }) => {
        const y = carrier === null ? null : heightAt(carrier.xs, carrier.ys, x);
        const text = `checkpoint ${checkpoint.name}${
          count > 1 ? ` and ${String(count - 1)} before it` : ''
        }`;
        return (
          <button
            key={checkpoint.uri}
            type="button"
            className="rc-Point"
            style={{
              left: pixel,
              top: y === null ? area.height : yPixel(area, y),
              color: carrier?.color ?? 'inherit'
            }}
            title={`${text}: look inside, resume, fork`}
            aria-label={text}
            tabIndex={checkpoint.uri === reached ? 0 : -1}
            onFocus={() => {
              setCurrent(checkpoint.uri);
            }}
            onClick={() => {
              props.onOpen(checkpoint);
            }}
          />
        );
      })}
    </div>
  );
}

const MOVES: Record<string, (index: number, count: number) => number> = {
  ArrowRight: (index, count) => Math.min(count - 1, index + 1),
  ArrowLeft: index => Math.max(0, index - 1),
  Home: () => 0,
  End: (_, count) => count - 1
};

function moveFocus(event: KeyboardEvent<HTMLDivElement>): void {
  const move = MOVES[event.key];
  const buttons = [...event.currentTarget.querySelectorAll('button')];
  const index = buttons.findIndex(button => button === event.target);
  if (move !== undefined && index >= 0) {
    event.preventDefault();
    buttons[move(index, buttons.length)]?.focus();
  }
}
