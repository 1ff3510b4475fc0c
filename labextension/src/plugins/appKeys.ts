import type { KeyboardEvent as ReactKeyboardEvent } from 'react';

/** With Ctrl or Cmd these edit what has the focus; in a notebook they would do something to its cells. */
const EDITING: ReadonlySet<string> = new Set(['Enter', 'a', 'c', 'v', 'x', 'y', 'z']);

/**
 * Let JupyterLab's own shortcuts, e.g. Ctrl+S, work while the focus is in a view that has no use for the key.
 *
 * A view keeps all keys to itself, or `d d` in a log would delete the cell around it. Without this the browser would
 * take Ctrl+S, and offer to save the page.
 *
 * @param event - of the element around the view
 */
export function passAppKeys(event: ReactKeyboardEvent<HTMLElement>): void {
  const around = event.currentTarget.parentElement;
  const forApp = (event.ctrlKey || event.metaKey) && !EDITING.has(event.key);
  if (around === null || !forApp || event.defaultPrevented) {
    return;
  }
  // The same key once more, from outside of what keeps it.
  if (!around.dispatchEvent(new KeyboardEvent('keydown', event.nativeEvent))) {
    event.preventDefault();
  }
}
