import type { JSX } from 'react';

import type { CheckpointDocument } from '../api/documents';
import { useQuery } from '../api/useQuery';
import { sizeText } from '../ui/format';
import { Trouble } from '../ui/Trouble';

/** The beginning of a checkpoint, in place. */
export function CheckpointPreview(props: {
  checkpoint: CheckpointDocument;
  onClose: () => void;
}): JSX.Element {
  const { checkpoint } = props;
  const { answer: preview, error } = useQuery('preview', { uri: checkpoint.uri });

  const facts: [string, string][] = [
    ['size', sizeText(checkpoint.size)],
    ['format', checkpoint.format],
    ['attempt', String(checkpoint.attempt)],
    // What the row says already is left out.
    ...(preview?.facts ?? []).filter(([title]) => title !== 'size' && title !== 'modified')
  ];
  return (
    <div
      className="rc-Preview"
      role="group"
      aria-label={`Inside ${checkpoint.name}`}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          props.onClose();
        }
      }}
    >
      <dl className="rc-Pairs">
        {facts.map(([title, text]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd className="rc-num">{text}</dd>
          </div>
        ))}
      </dl>
      <span className="rc-mono rc-dim rc-Preview-uri">{checkpoint.uri}</span>
      {error !== null && <Trouble error={error} />}
      {error === null && preview === null && <div className="rc-Skeleton" />}
      {preview !== null && preview.text !== '' && (
        <pre className="rc-Text" tabIndex={0} aria-label="Its beginning">
          {preview.text}
          {preview.truncated && '\n…'}
        </pre>
      )}
      <span>
        <button type="button" className="rc-Button" onClick={props.onClose}>
          Close
        </button>
      </span>
    </div>
  );
}
