import type { JSX } from 'react';

import type { ErrorDocument } from '../api/documents';
import { Trouble } from '../ui/Trouble';

/** Why an action on a row failed, until somebody has read it. */
export function RowTrouble(props: { error: ErrorDocument; onDismiss: () => void }): JSX.Element {
  return (
    <Trouble error={props.error}>
      <span>
        <button type="button" className="rc-Button" onClick={props.onDismiss}>
          Dismiss
        </button>
      </span>
    </Trouble>
  );
}
