/** The JupyterLab side of runctl-jupyter: what a kernel cannot add to the page by itself. */
import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import type { NotebookPanel } from '@jupyterlab/notebook';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIds } from './commandIds';
import { insertTrainCell, TRAIN_CELL } from './insertTrainCell';

/**
 * Adds the commands.
 *
 * Every token is optional: Notebook 7 has no palette on some of its pages, and an application
 * without notebooks must still start.
 */
const plugin: JupyterFrontEndPlugin<void> = {
  id: 'runctl-jupyter:plugin',
  description: 'Adds the runctl commands to JupyterLab and Notebook 7.',
  autoStart: true,
  optional: [ICommandPalette, INotebookTracker, ITranslator],
  activate: (
    app: JupyterFrontEnd,
    palette: ICommandPalette | null,
    tracker: INotebookTracker | null,
    translator: ITranslator | null
  ): void => {
    if (tracker === null) {
      return;
    }
    const { commands, shell } = app;
    const trans = (translator ?? nullTranslator).load('runctl_jupyter');

    /** The notebook in front, or null while something else is: the tracker alone remembers the last one. */
    const notebookInFront = (): NotebookPanel | null => {
      const panel = tracker.currentWidget;
      return panel !== null && panel === shell.currentWidget ? panel : null;
    };

    commands.addCommand(CommandIds.insertTrainCell, {
      // As an argument: in the text itself a translation reads %% as one %.
      label: trans.__('runctl: insert a %1 cell', TRAIN_CELL.trim()),
      caption: trans.__('Insert a cell below the active one whose body runs as a job'),
      describedBy: {
        args: { type: 'object', properties: {}, additionalProperties: false }
      },
      isEnabled: () => notebookInFront() !== null,
      execute: async () => {
        const panel = notebookInFront();
        if (panel !== null) {
          await insertTrainCell(panel);
        }
      }
    });
    const refresh = (): void => {
      commands.notifyCommandChanged(CommandIds.insertTrainCell);
    };
    tracker.currentChanged.connect(refresh);
    shell.currentChanged?.connect(refresh);

    palette?.addItem({
      command: CommandIds.insertTrainCell,
      category: trans.__('Notebook Cell Operations')
    });
  }
};

export default plugin;
