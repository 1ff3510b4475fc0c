import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';

import { openEventStream, ServerBackend } from '../api/serverBackend';
import type { Runctl } from './tokens';
import { RunctlToken } from './tokens';

/** Provides the way to the engine. Asks nothing until a view does. */
export const connectionPlugin: JupyterFrontEndPlugin<Runctl> = {
  id: 'runctl-jupyter:connection',
  description: 'Asks and follows jobs and machines through the Jupyter server.',
  autoStart: true,
  provides: RunctlToken,
  activate: (app: JupyterFrontEnd): Runctl => {
    const { serverSettings } = app.serviceManager;
    const stream = openEventStream(serverSettings);
    const backends = new Map<string | null, ServerBackend>();
    return {
      backend: place => {
        const known = backends.get(place);
        if (known !== undefined) {
          return known;
        }
        const made = new ServerBackend(serverSettings, stream, place);
        backends.set(place, made);
        return made;
      }
    };
  }
};
