import type { LogText } from './LogText';
import { plainText } from './lineParts';

/** The text that is selected in an element; empty if none is. */
export function selectedIn(element: HTMLElement | null): string {
  const selection = document.getSelection();
  if (selection === null || selection.isCollapsed || element === null) {
    return '';
  }
  return element.contains(selection.anchorNode) && element.contains(selection.focusNode)
    ? selection.toString()
    : '';
}

/** All that is held of a log, as it is shown. */
export function heldText(text: LogText): string {
  return text.parts().map(plainText).join('');
}

/** Put a text on the clipboard; return in words what came of it. */
export async function copied(text: string, what: string): Promise<string> {
  // On a page that was not sent safely a browser has no clipboard.
  const { clipboard } = navigator as { clipboard?: Clipboard };
  try {
    if (clipboard !== undefined) {
      await clipboard.writeText(text);
      return `Copied ${what}.`;
    }
  } catch (error) {
    if (!(error instanceof DOMException)) {
      throw error;
    }
  }
  return 'The browser does not let this page copy: select text and press Ctrl+C.';
}

/** Have the browser save a text as a file. */
export function saveText(text: string, name: string): void {
  const address = URL.createObjectURL(new Blob([text], { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  // The browser has begun to read it by then.
  setTimeout(() => {
    URL.revokeObjectURL(address);
  });
}
