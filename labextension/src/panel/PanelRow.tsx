import type { JSX, ReactNode } from 'react';
import { Children, isValidElement } from 'react';

import { MenuButton, useContextMenu } from '../ui/Menu';
import type { MenuItem } from '../ui/Menu';
import { CutName } from './CutName';
import { KeepsFocus } from './KeepsFocus';

/** A row of a list: a mark, a name, what else is to be known, and a menu; `children` stand below it. */
export function PanelRow(props: {
  tabIndex: number;
  mark: ReactNode;
  name: string;
  /** A word beside the name. */
  badge?: string;
  /** Lines below the name. */
  lines: string[];
  /** Numbers at the right, one above the other. */
  side?: readonly [string, string];
  items: MenuItem[];
  /** Whether what it opens in place is open; left out where it opens elsewhere. */
  expanded?: boolean;
  onOpen: () => void;
  children?: ReactNode;
}): JSX.Element {
  const { side } = props;
  const label = `Actions for ${props.name}`;
  const { onContextMenu, menu } = useContextMenu(label, props.items);
  return (
    <>
      <div className="rc-PanelRow" data-row-head="" onContextMenu={onContextMenu}>
        <button
          type="button"
          className="rc-PanelRow-main"
          data-row-main=""
          tabIndex={props.tabIndex}
          title={[props.name, ...props.lines].join('\n')}
          aria-expanded={props.expanded}
          onClick={props.onOpen}
        >
          <span className="rc-PanelRow-mark">{props.mark}</span>
          <span className="rc-PanelRow-name">
            <CutName text={props.name} />
            {props.badge !== undefined && <span className="rc-dim"> {props.badge}</span>}
          </span>
          {props.lines.map((line, index) => (
            <span key={index} className="rc-PanelRow-sub rc-num rc-cut">
              {line}
            </span>
          ))}
        </button>
        <span className="rc-PanelRow-menu">
          <MenuButton label={label} items={props.items} />
        </span>
        {side !== undefined && (
          <span className="rc-PanelRow-side rc-num">
            <span>{side[0]}</span>
            <span className="rc-dim">{side[1]}</span>
          </span>
        )}
        {menu}
      </div>
      {Children.map(props.children, child =>
        isValidElement(child) ? <KeepsFocus>{child}</KeepsFocus> : null
      )}
    </>
  );
}
