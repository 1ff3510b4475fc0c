import type { NotebookPanel } from '@jupyterlab/notebook';
import { NotebookActions } from '@jupyterlab/notebook';

/** First line of a cell whose body runs as a job. */
export const TRAIN_CELL = '%%runctl train\n';

/**
 * Insert a code cell below the active one and put the cursor at its end.
 *
 * The insertion is one undoable step of the notebook, like any other inserted cell.
 *
 * @param panel - the notebook to insert into
 * @param source - the text of the cell
 */
export async function insertCell(panel: NotebookPanel, source: string): Promise<void> {
  const notebook = panel.content;
  NotebookActions.insertBelow(notebook);
  // The user's default cell type may be markdown or raw; a magic only works in a code cell.
  NotebookActions.changeCellType(notebook, 'code');
  const cell = notebook.activeCell;
  if (cell === null) {
    return;
  }
  cell.model.sharedModel.setSource(source);
  // A cell outside the viewport has no editor until it is scrolled to.
  await notebook.scrollToItem(notebook.activeCellIndex);
  await cell.ready;
  notebook.mode = 'edit';
  const lines = source.split('\n');
  cell.editor?.setCursorPosition({
    line: lines.length - 1,
    column: lines.at(-1)?.length ?? 0
  });
  // The mode alone does not take the focus from elsewhere in the page.
  cell.editor?.focus();
}
