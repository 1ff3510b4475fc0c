import type { JSX } from 'react';

import { RowTrouble } from './RowTrouble';
import type { Downloads } from './useDownload';

/** How the copy of an object fares, below its row. */
export function CopyingLine(props: { uri: string; downloads: Downloads }): JSX.Element | null {
  const copying = props.downloads.of(props.uri);
  if (copying === null) {
    return null;
  }
  const dismiss = (): void => {
    props.downloads.dismiss(props.uri);
  };
  if (copying.kind === 'failed') {
    return <RowTrouble error={copying.error} onDismiss={dismiss} />;
  }
  return (
    <div className="rc-Copying" role="status">
      <span className="rc-grow">
        {copying.kind === 'done' ? copying.text : 'Copying to where Python runs…'}
      </span>
      {copying.kind === 'done' && (
        <button type="button" className="rc-Button rc-Button-quiet" onClick={dismiss}>
          Close
        </button>
      )}
    </div>
  );
}
