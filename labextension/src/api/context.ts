import { createContext, useContext } from 'react';

import type { Backend, Host } from './backend';

/** What every view below is connected to. */
export interface Connection {
  backend: Backend;
  host: Host;
}

export const ConnectionContext = createContext<Connection | null>(null);

/** Return the connection of the view; it must lie below a `ConnectionContext.Provider`. */
export function useConnection(): Connection {
  const connection = useContext(ConnectionContext);
  if (connection === null) {
    throw new Error('a view of runctl needs a ConnectionContext around it');
  }
  return connection;
}
