import { useCallback, useState } from 'react';

import { useConnection } from '../api/context';
import type { ErrorDocument } from '../api/documents';
import { errorOf } from '../ui/errorOf';
import { sizeText } from '../ui/format';

/** How a copy to where Python runs fares. */
export type Copying =
  { kind: 'under way' } | { kind: 'done'; text: string } | { kind: 'failed'; error: ErrorDocument };

/** Copies of objects to where Python runs, and how they fare. */
export interface Downloads {
  of: (uri: string) => Copying | null;
  begin: (uri: string) => void;
  dismiss: (uri: string) => void;
}

/** Copy objects to the computer on which the Python side runs. */
export function useDownload(): Downloads {
  const { backend } = useConnection();
  const [held, setHeld] = useState<ReadonlyMap<string, Copying>>(new Map());
  const set = useCallback((uri: string, copying: Copying) => {
    setHeld(before => new Map(before).set(uri, copying));
  }, []);
  const begin = useCallback(
    (uri: string) => {
      set(uri, { kind: 'under way' });
      backend.act('download', { uri }).then(
        ({ path, size }) => {
          set(uri, { kind: 'done', text: `${sizeText(size)} are in ${path}` });
        },
        (thrown: unknown) => {
          set(uri, { kind: 'failed', error: errorOf(thrown) });
        }
      );
    },
    [backend, set]
  );
  const dismiss = useCallback((uri: string) => {
    setHeld(before => {
      const rest = new Map(before);
      rest.delete(uri);
      return rest;
    });
  }, []);
  return { of: uri => held.get(uri) ?? null, begin, dismiss };
}
