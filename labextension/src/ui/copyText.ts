/** Put `text` into the clipboard; false where the browser forbids it, e.g. on a page without https. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Also a missing `navigator.clipboard` lands here: the caller shows the text to copy by hand.
    return false;
  }
}
