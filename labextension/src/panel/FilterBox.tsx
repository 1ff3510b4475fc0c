import type { JSX } from 'react';

import { countText } from '../ui/format';

/** A box that narrows a list, and how many rows it leaves when it does. */
export function FilterBox(props: {
  label: string;
  hint: string;
  typed: string;
  onType: (text: string) => void;
  shown: number;
  all: number;
}): JSX.Element {
  return (
    <div className="rc-Panel-filter">
      <input
        type="search"
        className="rc-Input"
        aria-label={props.label}
        placeholder={props.hint}
        value={props.typed}
        onChange={event => {
          props.onType(event.currentTarget.value);
        }}
      />
      <span className="rc-dim rc-small rc-num" role="status">
        {props.shown === props.all ? '' : `${countText(props.shown)} shown`}
      </span>
    </div>
  );
}
