import type { JSX } from 'react';
import { useState } from 'react';

import { useConnection } from '../api/context';
import { useQuery } from '../api/useQuery';
import { Trouble } from '../ui/Trouble';

/** Where a job came from and what it ran with; asked for anew when its attempt changes. */
export function RecordView(props: { job: string; attempt: number }): JSX.Element {
  const { job, attempt } = props;
  const { backend } = useConnection();
  const [tries, setTries] = useState(0);
  const asks = backend.kind !== 'snapshot';
  const { answer: record, error } = useQuery(
    'record',
    asks ? { job } : null,
    `${String(attempt)} ${String(tries)}`
  );

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
