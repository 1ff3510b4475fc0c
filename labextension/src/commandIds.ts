/** Ids of the commands that this extension adds; other extensions and key bindings refer to them. */
export const CommandIds = {
  /** Insert a cell that trains on a machine of the current target, below the active cell. */
  insertTrainCell: 'runctl:insert-train-cell'
} as const;
