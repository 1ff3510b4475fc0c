import { useEffect, useState } from 'react';

import { errorOf } from '../ui/errorOf';
import type { Queries, QueryName } from './backend';
import { useConnection } from './context';
import type { ErrorDocument } from './documents';

/** An answer, or why there is none; what was answered stays until the next answer. */
export interface Asked<T> {
  answer: T | null;
  error: ErrorDocument | null;
}

/**
 * Ask something when the view appears, and anew when what is asked or `again` changes; what is asked for and no
 * longer wanted is aborted.
 *
 * @param params - null asks nothing
 */
export function useQuery<M extends QueryName>(
  method: M,
  params: Queries[M]['params'] | null,
  again: unknown = null
): Asked<Queries[M]['result']> {
  const { backend } = useConnection();
  const [asked, setAsked] = useState<Asked<Queries[M]['result']>>({ answer: null, error: null });
  // By its text: whoever asks makes the parameters anew each time.
  const text = params === null ? null : JSON.stringify(params);

  useEffect(() => {
    if (text === null) {
      return undefined;
    }
    const aborted = new AbortController();
    backend.query(method, JSON.parse(text) as Queries[M]['params'], aborted.signal).then(
      answer => {
        if (!aborted.signal.aborted) {
          setAsked({ answer, error: null });
        }
      },
      (thrown: unknown) => {
        if (!aborted.signal.aborted) {
          setAsked(before => ({ ...before, error: errorOf(thrown) }));
        }
      }
    );
    return () => {
      aborted.abort();
    };
  }, [backend, method, text, again]);
  return asked;
}
