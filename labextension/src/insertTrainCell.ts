import type { NotebookPanel } from '@jupyterlab/notebook';
import { NotebookActions } from '@jupyterlab/notebook';

/** First line of a cell whose body runs as a job. */
export const TRAIN_CELL = '%%runctl train\n';

/**
 * Insert a `%%runctl train` cell below the active cell and put the cursor under its first line.
 *
 * The insertion is one undoable step of the notebook, like any other inserted cell.
 *
 * @param panel - the notebook to insert into
 */
export async function insertTrainCell(panel: NotebookPanel): Promise<void> {
  const notebook = panel.content;
  NotebookActions.insertBelow(notebook);
  // The user's default cell type may be markdown or raw; a magic only works in a code cell.
  NotebookActions.changeCellType(notebook, 'code');
  const cell = notebook.activeCell;
  if (cell === null) {
    return;
  }
  cell.model.sharedModel.setSource(TRAIN_CELL);
  // A cell outside the viewport has no editor until it is scrolled to.
  await notebook.scrollToItem(notebook.activeCellIndex);
  await cell.ready;
  notebook.mode = 'edit';
  cell.editor?.setCursorPosition({ line: 1, column: 0 });
}
