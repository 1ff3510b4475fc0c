import type { JSX, ReactNode } from 'react';

import type { ErrorDocument } from '../api/documents';

/** An error where it happened: two lines, and a button when there is something to press. */
export function Trouble(props: { error: ErrorDocument; children?: ReactNode }): JSX.Element {
  return (
    <div className="rc-Trouble" role="alert">
      <span>{props.error.what}</span>
      <span className="rc-dim">{props.error.to_resolve}</span>
      {props.children}
    </div>
  );
}
