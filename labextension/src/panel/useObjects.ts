import { useCallback, useEffect, useRef, useState } from 'react';

import { useConnection } from '../api/context';
import type { ErrorDocument, ObjectDocument, ObjectPage } from '../api/documents';
import { errorOf } from '../ui/errorOf';

const PAGE = 200;
/** Who types a name asks once, not at every letter. */
const TYPING_MS = 150;

/** A level of a bucket as far as it has been read. */
export interface Level {
  prefixes: ObjectPage['prefixes'];
  objects: ObjectDocument[];
  /** Whether there is more to read. */
  more: boolean;
  loading: boolean;
  /** Whether a page of this level has come. */
  loaded: boolean;
  error: ErrorDocument | null;
  loadMore: () => void;
  reload: () => void;
}

interface Held {
  /** The folder that these are of. */
  uri: string;
  prefixes: ObjectPage['prefixes'];
  objects: ObjectDocument[];
  next: string | null;
  loading: boolean;
  loaded: boolean;
  error: ErrorDocument | null;
}

const NOTHING: Held = {
  uri: '',
  prefixes: [],
  objects: [],
  next: null,
  loading: true,
  loaded: false,
  error: null
};

/**
 * Read a level page by page; what is asked for and no longer wanted is aborted.
 *
 * @param filter - beginning of the names that are wanted
 */
export function useObjects(uri: string, filter: string): Level {
  const { backend } = useConnection();
  const [held, setHeld] = useState(NOTHING);
  const [again, setAgain] = useState(0);
  const asked = useRef<AbortController | null>(null);

  const ask = useCallback(
    (token: string | null) => {
      asked.current?.abort();
      const aborted = new AbortController();
      asked.current = aborted;
      // Of the same folder, what is shown stays until the answer is there.
      setHeld(before => ({
        ...(before.uri === uri ? before : NOTHING),
        uri,
        loading: true,
        error: null
      }));
      const params = {
        uri,
        limit: PAGE,
        ...(token === null ? {} : { token }),
        ...(filter === '' ? {} : { filter })
      };
      backend.query('objects', params, aborted.signal).then(
        page => {
          if (!aborted.signal.aborted) {
            asked.current = null;
            setHeld(before => ({
              uri,
              prefixes: token === null ? page.prefixes : [...before.prefixes, ...page.prefixes],
              objects: token === null ? page.objects : [...before.objects, ...page.objects],
              next: page.next,
              loading: false,
              loaded: true,
              error: null
            }));
          }
        },
        (thrown: unknown) => {
          if (!aborted.signal.aborted) {
            asked.current = null;
            setHeld(before => ({ ...before, loading: false, error: errorOf(thrown) }));
          }
        }
      );
    },
    [backend, uri, filter]
  );

  useEffect(() => {
    const timer = setTimeout(
      () => {
        ask(null);
      },
      filter === '' ? 0 : TYPING_MS
    );
    return () => {
      clearTimeout(timer);
      asked.current?.abort();
      asked.current = null;
    };
  }, [ask, filter, again]);

  const loadMore = (): void => {
    if (held.next !== null && asked.current === null) {
      ask(held.next);
    }
  };
  const reload = useCallback(() => {
    setAgain(count => count + 1);
  }, []);
  const { prefixes, objects, next, loading, loaded, error } = held.uri === uri ? held : NOTHING;
  return { prefixes, objects, more: next !== null, loading, loaded, error, loadMore, reload };
}
