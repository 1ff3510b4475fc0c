import { useConnection } from '../api/context';
import type { CheckpointDocument, ErrorDocument, JobDocument } from '../api/documents';
import { useQuery } from '../api/useQuery';

/** Every checkpoint of a job, the oldest first: a card may hold only the last ones. */
export function useAllCheckpoints(
  job: JobDocument,
  known: CheckpointDocument[]
): { checkpoints: CheckpointDocument[]; error: ErrorDocument | null } {
  const { backend } = useConnection();
  const { id, checkpoint_count: count } = job;
  const missing = known.length < count && backend.kind !== 'snapshot';
  const { answer, error } = useQuery('checkpoints', missing ? { job: id } : null, count);
  const all = answer?.checkpoints ?? [];
  return { checkpoints: all.length > known.length ? all : known, error };
}
