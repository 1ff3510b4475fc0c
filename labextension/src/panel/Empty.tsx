import type { JSX, ReactNode } from 'react';

import { useConnection } from '../api/context';
import { useNotices } from './notice';

/** What to do where there is nothing yet, with a button that begins it. */
export function Empty(props: {
  /** The line to copy where no cell can be inserted. */
  line: string;
  /** What the cell holds. */
  code: string;
  children: ReactNode;
}): JSX.Element {
  const { host } = useConnection();
  const { copy } = useNotices();
  const { insertCell } = host;
  return (
    <div className="rc-Empty rc-Panel-empty">
      <span>{props.children}</span>
      <button
        type="button"
        className="rc-Button"
        onClick={() => {
          if (insertCell === undefined) {
            copy(props.line);
          } else {
            insertCell(props.code);
          }
        }}
      >
        {insertCell === undefined ? 'Copy' : 'Insert'}
      </button>
    </div>
  );
}
