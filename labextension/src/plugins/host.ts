import type { JupyterFrontEnd } from '@jupyterlab/application';
import type { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';

import type { Host } from '../api/backend';
import { CommandIds } from './commandIds';
import { insertCell } from './insertCell';

/** Return the notebook in front, or the last one that was: a click in the sidebar takes the focus from it. */
export function currentNotebook(tracker: INotebookTracker | null): NotebookPanel | null {
  return tracker?.currentWidget ?? null;
}

/**
 * Return what the page can do for the views of a place.
 *
 * @param place - id of the place whose jobs the views show
 * @param showObjects - brings an `s3://` address to the front in the panel
 */
export function hostOf(
  app: JupyterFrontEnd,
  tracker: INotebookTracker | null,
  place: string | null,
  showObjects?: (uri: string) => void
): Host {
  const open = (job: { id: string; name: string }, focus: string | null): void => {
    void app.commands.execute(CommandIds.openJob, { job: job.id, name: job.name, place, focus });
  };
  const host: Host = {
    openJob: job => {
      open(job, null);
    },
    openLog: job => {
      open(job, 'log');
    }
  };
  if (showObjects !== undefined) {
    host.openObjects = showObjects;
  }
  if (tracker !== null) {
    host.insertCell = source => {
      const panel = currentNotebook(tracker);
      if (panel !== null) {
        // Another tab may be in front, or the focus in the sidebar: one goes on in the new cell.
        app.shell.activateById(panel.id);
        void insertCell(panel, source);
      }
    };
  }
  return host;
}
