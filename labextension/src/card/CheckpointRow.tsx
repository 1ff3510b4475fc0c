import type { JSX } from 'react';
import { memo, useEffect, useRef } from 'react';

import type { CheckpointDocument } from '../api/documents';
import { countText, cutMiddle, metricText, sizeText } from '../ui/format';
import type { MenuItem } from '../ui/Menu';
import { MenuButton, useContextMenu } from '../ui/Menu';
import { CheckpointPreview } from './CheckpointPreview';
import { agoText } from './clock';

/** Columns of the table; what lies inside a checkpoint goes over all of them. */
export const COLUMNS = 6;

/** A checkpoint in the table, and what is inside it when it is open. */
export const CheckpointRow = memo(function CheckpointRow(props: {
  checkpoint: CheckpointDocument;
  /** The metric by which it is the best, if it is. */
  best: string | null;
  now: number;
  /** Characters that the name may take. */
  room: number;
  open: boolean;
  /** Null where nothing can look inside. */
  onLook: ((checkpoint: CheckpointDocument) => void) | null;
  onClose: () => void;
  menuOf: (checkpoint: CheckpointDocument) => MenuItem[];
}): JSX.Element {
  const { checkpoint, onLook, open } = props;
  const row = useRef<HTMLTableRowElement>(null);
  const name = useRef<HTMLButtonElement>(null);
  const items = props.menuOf(checkpoint);
  const { onContextMenu, menu } = useContextMenu(`Actions of ${checkpoint.name}`, items);
  const metrics = Object.entries(checkpoint.metrics)
    .map(([metric, value]) => `${metric} ${metricText(value)}`)
    .join(' · ');
  const title = shortName(checkpoint.name, props.room);

  useEffect(() => {
    if (open) {
      row.current?.scrollIntoView({ block: 'nearest' });
    }
  }, [open]);

  return (
    <>
      <tr ref={row} onContextMenu={onContextMenu}>
        <td title={checkpoint.name}>
          <span className="rc-Checkpoint-name">
            {onLook === null ? (
              <span className="rc-cut">{title}</span>
            ) : (
              <button
                ref={name}
                type="button"
                className="rc-Link rc-cut"
                aria-expanded={open}
                onClick={() => {
                  onLook(checkpoint);
                }}
              >
                {title}
              </button>
            )}
            {checkpoint.latest && <span className="rc-Badge">latest</span>}
            {props.best !== null && (
              <span className="rc-Badge rc-tone-good" title={`best ${props.best}`}>
                best
              </span>
            )}
          </span>
        </td>
        <td className="rc-num rc-right rc-wide">
          {checkpoint.step === null ? '' : countText(checkpoint.step)}
        </td>
        <td className="rc-num rc-cut" title={metrics}>
          {metrics}
        </td>
        <td className="rc-num rc-right rc-wide">{sizeText(checkpoint.size)}</td>
        <td className="rc-num rc-right">{agoText(checkpoint.created_at, props.now)}</td>
        <td className="rc-right">
          <MenuButton label={`Actions of ${checkpoint.name}`} items={items} />
          {menu}
        </td>
      </tr>
      {open && (
        <tr>
          <td colSpan={COLUMNS}>
            <CheckpointPreview
              checkpoint={checkpoint}
              onClose={() => {
                props.onClose();
                name.current?.focus();
              }}
            />
          </td>
        </tr>
      )}
    </>
  );
});

/** A name in the room there is: its ending, which says the format, goes before what tells it from the others. */
function shortName(name: string, room: number): string {
  const bare =
    name.length > room ? name.replace(/\.(safetensors|pt|pth|ckpt|bin|np[yz])$/i, '') : name;
  return cutMiddle(bare, room);
}
