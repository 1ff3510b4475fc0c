import type { MenuItem } from '../ui/Menu';
import { downloadLine, loadCode, wordOf } from '../ui/snippets';
import { todo } from './todo';

/** What can be done with an object here. */
export interface ObjectDoings {
  open: () => void;
  /** Copy it to where Python runs. */
  download: () => void;
  /** Where a browser gets it from. */
  url: string | null;
  insert: ((code: string) => void) | undefined;
  copy: (text: string) => void;
}

/** The menu of an object or a folder. */
export function objectMenu(uri: string, folder: boolean, doings: ObjectDoings): MenuItem[] {
  const { insert, copy, url } = doings;
  const items: MenuItem[] = [todo(folder ? 'Open' : 'Look inside', doings.open)];
  if (insert !== undefined && !folder) {
    const code = loadCode(uri);
    items.push({
      kind: 'do',
      label: 'Load into a variable',
      title: code,
      onSelect: () => {
        insert(code);
      }
    });
  }
  if (url !== null && !folder) {
    items.push({ kind: 'link', label: 'Download', href: url });
  }
  items.push(
    todo('Copy to where Python runs', doings.download),
    { kind: 'heading', label: 'Copy' },
    todo('Copy s3:// address', () => {
      copy(uri);
    }),
    todo('Copy as %runctl', () => {
      copy(folder ? `%runctl s3 list ${wordOf(uri)}` : downloadLine(uri));
    })
  );
  if (insert === undefined && !folder) {
    items.push(
      todo('Copy code that loads it', () => {
        copy(loadCode(uri));
      })
    );
  }
  return items;
}
