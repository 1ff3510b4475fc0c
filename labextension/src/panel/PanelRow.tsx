import type { JSX, ReactNode } from 'react';
import { Children, Fragment, isValidElement } from 'react';

import { MenuButton, useContextMenu } from '../ui/Menu';
import type { MenuItem } from '../ui/Menu';
import { CutName } from './CutName';
import { KeepsFocus } from './KeepsFocus';

const DOT = ' · ';
/** A part of so few characters is not broken. More would leave the end of a line empty in a narrow sidebar. */
const SHORT = 14;

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
            <span key={index} className="rc-PanelRow-sub rc-num">
              <Parts line={line} />
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

/** A line that breaks where a dot parts it: `on-demand` and `1 h 12 m` stay whole. */
function Parts(props: { line: string }): JSX.Element {
  const parts = props.line.split(DOT);
  return (
    <>
      {parts.map((part, index) => {
        // The dot ends a line, it does not begin one.
        const text = index < parts.length - 1 ? `${part} ·` : part;
        return (
          <Fragment key={index}>
            {index > 0 && ' '}
            <span className={part.length <= SHORT ? 'rc-PanelRow-part' : undefined}>{text}</span>
          </Fragment>
        );
      })}
    </>
  );
}
