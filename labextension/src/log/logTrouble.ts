import { BackendError } from '../api/backend';
import type { ErrorDocument } from '../api/documents';

/** A part of the log does not come, though it should be there. */
export const INCOMPLETE: ErrorDocument = {
  error: 'log-incomplete',
  what: 'A part of the log could not be read.',
  to_resolve: 'Try again, or download the whole log.'
};

/** What a failure to read the log is, for people. */
export function troubleOf(error: unknown): ErrorDocument {
  if (error instanceof BackendError) {
    return error.document;
  }
  return {
    error: 'log-unreadable',
    what: `The log could not be read: ${error instanceof Error ? error.message : String(error)}`,
    to_resolve: 'Try again, or download the whole log.'
  };
}
