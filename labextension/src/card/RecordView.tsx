import type { JSX } from 'react';
import { useEffect, useState } from 'react';

import type { Queries } from '../api/backend';
import { useConnection } from '../api/context';
import type { ErrorDocument } from '../api/documents';
import { errorOf } from '../ui/errorOf';
import { Trouble } from '../ui/Trouble';

/** Where a job came from and what it ran with; asked for anew when its attempt changes. */
export function RecordView(props: { job: string; attempt: number }): JSX.Element {
  const { job, attempt } = props;
  const { backend } = useConnection();
  const [record, setRecord] = useState<Queries['record']['result'] | null>(null);
  const [error, setError] = useState<ErrorDocument | null>(null);
  const [tries, setTries] = useState(0);
  const asks = backend.kind !== 'snapshot';

  useEffect(() => {
    if (!asks) {
      return undefined;
    }
    const aborted = new AbortController();
    backend.query('record', { job }, aborted.signal).then(
      answer => {
        if (!aborted.signal.aborted) {
          setRecord(answer);
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
  }, [backend, job, attempt, asks, tries]);

  if (!asks) {
    return <p className="rc-Empty">The record is not part of a saved view.</p>;
  }
  return (
    <div className="rc-Record">
      {error !== null && (
        <Trouble error={error}>
          <span>
            <button
              type="button"
              className="rc-Button"
              onClick={() => {
                setTries(tries + 1);
              }}
            >
              Try again
            </button>
          </span>
        </Trouble>
      )}
      {error === null && record === null && (
        <>
          <div className="rc-Skeleton" />
          <div className="rc-Skeleton" />
          <div className="rc-Skeleton" />
        </>
      )}
      {record !== null && (
        <>
          <dl className="rc-Table">
            {record.facts.map(([title, text]) => (
              <div key={title}>
                <dt>{title}</dt>
                <dd className="rc-num">{text}</dd>
              </div>
            ))}
          </dl>
          {record.text !== '' && (
            <pre className="rc-Text" tabIndex={0} aria-label="Record">
              {record.text}
            </pre>
          )}
        </>
      )}
    </div>
  );
}
