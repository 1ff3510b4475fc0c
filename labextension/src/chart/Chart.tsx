import type { JSX, PointerEvent } from 'react';
import { useMemo } from 'react';

import type { CheckpointDocument } from '../api/documents';
import type { Area } from './area';
import { xAtPixel } from './area';
import type { PlacedCheckpoint } from './CheckpointPoints';
import { CheckpointPoints } from './CheckpointPoints';
import { Crosshair, CursorKeys } from './Cursor';
import { Legend } from './Legend';
import type { Group, Line } from './lines';
import type { PlacedMark } from './Marks';
import { Marks } from './Marks';
import { nearestIndex } from './nearest';
import type { Extent, Unit } from './plotOptions';
import { Plot } from './Plot';
import type { XKind } from './placement';
import { readingText, readings, xText } from './reading';
import { Summary } from './Summary';
import type { Theme } from './useTheme';

/** Checkpoints of a chart, and what opening one does. */
export interface ChartCheckpoints {
  placed: PlacedCheckpoint[];
  /** The line they lie on; null for the axis. */
  carrier: Line | null;
  onOpen: (checkpoint: CheckpointDocument) => void;
}

const NO_MARKS: PlacedMark[] = [];

/** Lines on one pair of axes with legend, cursor, marks and checkpoints. */
export function Chart(props: {
  group: Group;
  extent: Extent;
  kind: XKind;
  theme: Theme;
  /** The x under the cursor; shared by charts of one job. */
  cursor: number | null;
  onCursor: (x: number | null) => void;
  unit?: Unit;
  yMin?: number | null;
  yMax?: number | null;
  small?: boolean;
  marks?: PlacedMark[];
  checkpoints?: ChartCheckpoints;
}): JSX.Element {
  const { group, kind, cursor, checkpoints, unit = 'number', marks = NO_MARKS } = props;
  const small = props.small === true;
  const read = readings(group.lines, cursor);
  const xs = useMemo(() => allXs(group.lines), [group]);
  const at = cursor === null ? '' : xText(cursor, kind);
  const text = readingText(read, unit);
  // It goes through all values: not at every move of the cursor.
  const summary = useMemo(
    () => (
      <Summary
        title={group.title}
        lines={group.lines}
        unit={unit}
        notes={small ? [] : marks.map(mark => `${xText(mark.x, kind)}: ${mark.text}`)}
      />
    ),
    [group, unit, small, marks, kind]
  );

  const follow = (event: PointerEvent<HTMLDivElement>, area: Area): void => {
    const edge = event.currentTarget.getBoundingClientRect().left;
    props.onCursor(xs[nearestIndex(xs, xAtPixel(area, event.clientX - edge))] ?? null);
  };

  return (
    <div className={small ? 'rc-Chart rc-Chart-small' : 'rc-Chart'}>
      <Plot
        group={group}
        extent={props.extent}
        kind={kind}
        unit={unit}
        yMin={props.yMin ?? null}
        yMax={props.yMax ?? null}
        height={small ? 112 : 168}
        theme={props.theme}
        label={`chart of ${group.title}, last values: ${readingText(readings(group.lines, null), unit)}`}
      >
        {area => (
          <div
            className="rc-Over"
            style={{ left: area.left, top: area.top, width: area.width, height: area.height }}
            onPointerMove={event => {
              follow(event, area);
            }}
            onPointerLeave={() => {
              props.onCursor(null);
            }}
          >
            <Marks marks={marks} area={area} wordless={small} />
            {cursor !== null && <Crosshair x={cursor} text={at} readings={read} area={area} />}
            <CursorKeys
              xs={xs}
              x={cursor}
              label={`read ${group.title}`}
              text={at === '' ? `last values: ${text}` : `${at}: ${text}`}
              onMove={props.onCursor}
            />
            {checkpoints !== undefined && checkpoints.placed.length > 0 && (
              <CheckpointPoints
                checkpoints={checkpoints.placed}
                carrier={checkpoints.carrier}
                area={area}
                onOpen={checkpoints.onOpen}
              />
            )}
          </div>
        )}
      </Plot>
      <Legend readings={read} unit={unit}>
        {checkpoints !== undefined && checkpoints.placed.length > 0 && (
          <li className="rc-Legend-checkpoint rc-dim">
            <span className="rc-Point-sample" aria-hidden="true" />
            checkpoint: click to look inside, resume or fork
          </li>
        )}
      </Legend>
      {summary}
    </div>
  );
}

function allXs(lines: readonly Line[]): number[] {
  const [first, ...others] = lines;
  if (first === undefined || others.every(line => line.xs === first.xs)) {
    return first?.xs ?? [];
  }
  return [...new Set(lines.flatMap(line => line.xs))].sort((one, other) => one - other);
}

/** The ends of the x axis of charts that stand together; `more` has a place on it too. */
export function extentOf(groups: readonly Group[], more: readonly number[]): Extent {
  let [min, max] = [Infinity, -Infinity];
  for (const x of [
    ...groups.flatMap(group => group.lines.flatMap(line => [line.xs[0], line.xs.at(-1)])),
    ...more
  ]) {
    if (x !== undefined) {
      min = Math.min(min, x);
      max = Math.max(max, x);
    }
  }
  return min < max ? [min, max] : min === max ? [min, min + 1] : [0, 1];
}
