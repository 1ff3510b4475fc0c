import { BackendError } from '../api/backend';
import type { ErrorDocument } from '../api/documents';

/** Whatever was thrown, as the two lines that a view shows. */
export function errorOf(thrown: unknown): ErrorDocument {
  if (thrown instanceof BackendError) {
    return thrown.document;
  }
  return {
    error: 'unexpected',
    what: thrown instanceof Error ? thrown.message : String(thrown),
    to_resolve: 'Try again; if it stays, reload the page.'
  };
}
