import type { JSX } from 'react';
import { useEffect, useRef } from 'react';

import { useQuery } from '../api/useQuery';
import { sizeText } from '../ui/format';
import { nameOf } from '../ui/snippets';
import { Trouble } from '../ui/Trouble';

/** The beginning of an object, in place. */
export function Preview(props: { uri: string; onClose: () => void }): JSX.Element {
  const { uri } = props;
  const { answer: preview, error } = useQuery('preview', { uri });
  const box = useRef<HTMLDivElement>(null);
  // Below the last row that is seen it would open unseen.
  useEffect(() => {
    box.current?.scrollIntoView({ block: 'nearest' });
  }, [preview, error]);

  return (
    <div
      ref={box}
      className="rc-ObjectPreview"
      role="group"
      aria-label={`Inside ${nameOf(uri)}`}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          props.onClose();
        }
      }}
    >
      {error !== null && <Trouble error={error} />}
      {error === null && preview === null && <div className="rc-Skeleton" aria-busy="true" />}
      {preview !== null && (
        <>
          <dl className="rc-ObjectPreview-facts">
            <div>
              <dt>Size</dt>
              <dd className="rc-num">{sizeText(preview.size)}</dd>
            </div>
            {preview.facts.filter(isNew).map(([title, text]) => (
              <div key={title}>
                <dt>{title}</dt>
                <dd className="rc-num">{text}</dd>
              </div>
            ))}
          </dl>
          {preview.text !== '' && (
            <pre tabIndex={0} aria-label={`Beginning of ${nameOf(uri)}`}>
              {preview.text}
              {preview.truncated && '\n…'}
            </pre>
          )}
        </>
      )}
      <div className="rc-ObjectPreview-foot">
        <span className="rc-mono rc-dim rc-cut" title={uri}>
          {uri}
        </span>
        <button type="button" className="rc-Button rc-Button-quiet" onClick={props.onClose}>
          Close
        </button>
      </div>
    </div>
  );
}

/** Whether a fact says more than its row does. */
function isNew([title]: [string, string]): boolean {
  return title !== 'size' && title !== 'modified';
}
