import type { JSX, KeyboardEventHandler, ReactNode } from 'react';

import type { Backend, Host } from '../api/backend';
import { ConnectionContext } from '../api/context';

/** What stands around every view: its style begins here, and what it is connected to. */
export function ViewRoot(props: {
  backend: Backend;
  host: Host;
  /** A class beside `rc-Root`. */
  className?: string;
  onKeyDown?: KeyboardEventHandler<HTMLElement>;
  children: ReactNode;
}): JSX.Element {
  const { backend, host, className, onKeyDown } = props;
  return (
    <ConnectionContext.Provider value={{ backend, host }}>
      <div
        className={className === undefined ? 'rc-Root' : `rc-Root ${className}`}
        {...(onKeyDown === undefined ? {} : { onKeyDown })}
      >
        {props.children}
      </div>
    </ConnectionContext.Provider>
  );
}
