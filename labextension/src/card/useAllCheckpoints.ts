import { useEffect, useState } from 'react';

import { useConnection } from '../api/context';
import type { CheckpointDocument, ErrorDocument, JobDocument } from '../api/documents';
import { errorOf } from '../ui/errorOf';

/** Every checkpoint of a job, the oldest first: a card may hold only the last ones. */
export function useAllCheckpoints(
  job: JobDocument,
  known: CheckpointDocument[]
): { checkpoints: CheckpointDocument[]; error: ErrorDocument | null } {
  const { backend } = useConnection();
  const [all, setAll] = useState<CheckpointDocument[]>([]);
  const [error, setError] = useState<ErrorDocument | null>(null);
  const { id, checkpoint_count: count } = job;
  const missing = known.length < count && backend.kind !== 'snapshot';

  useEffect(() => {
    if (!missing) {
      return undefined;
    }
    const aborted = new AbortController();
    backend.query('checkpoints', { job: id }, aborted.signal).then(
      answer => {
        if (!aborted.signal.aborted) {
          setAll(answer.checkpoints);
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
  }, [backend, id, count, missing]);

  return { checkpoints: all.length > known.length ? all : known, error };
}
