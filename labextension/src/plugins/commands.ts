import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker } from '@jupyterlab/notebook';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';

import { CommandIds } from './commandIds';
import { currentNotebook } from './host';
import { insertCell, TRAIN_CELL } from './insertCell';

/**
 * Adds the command that inserts a cell.
 *
 * Every token is optional: Notebook 7 has no palette on some of its pages, and an application
 * without notebooks must still start.
 */
export const commandsPlugin: JupyterFrontEndPlugin<void> = {
  id: 'runctl-jupyter:commands',
  description: 'Adds the command that inserts a %%runctl train cell.',
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
    commands.addCommand(CommandIds.insertTrainCell, {
      // As an argument: in the text itself a translation reads %% as one %.
      label: trans.__('runctl: insert a %1 cell', TRAIN_CELL.trim()),
      caption: trans.__('Insert a cell below the active one whose body runs as a job'),
      describedBy: { args: { type: 'object', properties: {}, additionalProperties: false } },
      isEnabled: () => currentNotebook(tracker) !== null,
      execute: async () => {
        const panel = currentNotebook(tracker);
        if (panel !== null) {
          await insertCell(panel, TRAIN_CELL);
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
