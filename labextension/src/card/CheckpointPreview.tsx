import type { JSX } from 'react';
import { useEffect, useState } from 'react';

import { useConnection } from '../api/context';
import type { CheckpointDocument, ErrorDocument, PreviewDocument } from '../api/documents';
import { errorOf } from '../ui/errorOf';
import { sizeText } from '../ui/format';
import { Trouble } from '../ui/Trouble';

/** The beginning of a checkpoint, in place. */
export function CheckpointPreview(props: {
  checkpoint: CheckpointDocument;
  onClose: () => void;
}): JSX.Element {
  const { checkpoint } = props;
  const { backend } = useConnection();
  const [preview, setPreview] = useState<PreviewDocument | null>(null);
  const [error, setError] = useState<ErrorDocument | null>(null);

  useEffect(() => {
    const aborted = new AbortController();
    backend.query('preview', { uri: checkpoint.uri }, aborted.signal).then(
      answer => {
        if (!aborted.signal.aborted) {
          setPreview(answer);
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
  }, [backend, checkpoint.uri]);

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
