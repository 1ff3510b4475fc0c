/** Ids of the commands that this extension adds; other extensions and key bindings refer to them. */
export const CommandIds = {
  /** Insert a cell that trains on a machine of the current target, below the active cell. */
  insertTrainCell: 'runctl:insert-train-cell',
  /** Bring the sidebar to the front. */
  showPanel: 'runctl:show-panel',
  /** Open the panel as a tab of the main area. */
  openPanel: 'runctl:open-panel',
  /** Open a job's card as a tab; arguments `job` (id), `name` and `place`, and `focus` (`log`). */
  openJob: 'runctl:open-job'
} as const;
