import { useEffect, useState } from 'react';

import { useConnection } from '../api/context';
import type { ErrorDocument, PlaceDocument } from '../api/documents';
import { errorOf } from '../ui/errorOf';

/**
 * Where one is, or why that is not known.
 *
 * @param again - asks anew whenever it changes, e.g. when the way there works again
 */
export function usePlace(again: boolean): {
  place: PlaceDocument | null;
  error: ErrorDocument | null;
} {
  const { backend } = useConnection();
  const [place, setPlace] = useState<PlaceDocument | null>(null);
  const [error, setError] = useState<ErrorDocument | null>(null);
  useEffect(() => {
    const aborted = new AbortController();
    backend.query('place', {}, aborted.signal).then(
      answer => {
        if (!aborted.signal.aborted) {
          setPlace(answer);
          setError(null);
        }
      },
      (thrown: unknown) => {
        if (!aborted.signal.aborted) {
          setError(errorOf(thrown));
        }
      }
    );
    return () => {
      aborted.abort();
    };
  }, [backend, again]);
  return { place, error };
}
