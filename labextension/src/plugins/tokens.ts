import { Token } from '@lumino/coreutils';

import type { Backend } from '../api/backend';

/** The extension's way to the engine, for its own plugins and those of others. */
export interface Runctl {
  /** Return the backend of a place; null for the server's default. The same one for the same place. */
  backend(place: string | null): Backend;
}

export const RunctlToken = new Token<Runctl>(
  'runctl-jupyter:Runctl',
  'Asks and follows jobs and machines of runctl through the Jupyter server.'
);
