import type { JSX } from 'react';

import type { Area } from './area';
import { xPixel } from './area';

/** Something that happened, at its place on the x axis. */
export interface PlacedMark {
  x: number;
  kind: 'interrupted' | 'resumed';
  text: string;
}

/** Room a text needs to be worth showing, in pixels. */
const READABLE = 72;

/** Dotted verticals with what happened; texts where there is room for them. */
export function Marks(props: { marks: PlacedMark[]; area: Area; wordless: boolean }): JSX.Element {
  const { area } = props;
  const placed = props.marks
    .map(mark => ({ ...mark, left: Math.min(area.width, Math.max(0, xPixel(area, mark.x))) }))
    .sort((one, other) => one.left - other.left);
  return (
    <>
      {placed.map((mark, index) => {
        const right = (placed[index + 1]?.left ?? area.width) - mark.left;
        const left = mark.left - (placed[index - 1]?.left ?? 0);
        const last = index === placed.length - 1;
        // Near the right edge the text of the last one hangs on the other side, if nothing else does.
        const turned = last && right < 2 * READABLE && left > right && index === 0;
        const room = turned ? left : right;
        return (
          <div
            key={`${String(mark.x)} ${mark.kind}`}
            className={`rc-Mark rc-Mark-${mark.kind}`}
            style={{ left: mark.left }}
            title={mark.text}
          >
            {!props.wordless && room >= READABLE && (
              <span
                className={turned ? 'rc-Mark-text rc-Mark-turned' : 'rc-Mark-text'}
                style={{ maxWidth: room - 4 }}
              >
                {mark.text}
              </span>
            )}
          </div>
        );
      })}
    </>
  );
}
