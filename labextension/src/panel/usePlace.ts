import type { ErrorDocument, PlaceDocument } from '../api/documents';
import { useQuery } from '../api/useQuery';

/**
 * Where one is, or why that is not known.
 *
 * @param again - asks anew whenever it changes, e.g. when the way there works again
 */
export function usePlace(again: boolean): {
  place: PlaceDocument | null;
  error: ErrorDocument | null;
} {
  const { answer, error } = useQuery('place', {}, again);
  return { place: answer, error };
}
