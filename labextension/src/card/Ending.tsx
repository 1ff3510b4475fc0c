import type { JSX } from 'react';

import type { AttemptDocument, CheckpointDocument, JobDocument } from '../api/documents';
import { durationText } from '../ui/format';
import { StateMark, toneOf } from '../ui/StateMark';
import { secondsBetween } from './clock';
import { endingOf } from './endings';
import { newestCheckpoint, placeOf } from './loss';

/** Why a job did not get through, where one looks for it, with the way on. */
export function Ending(props: {
  job: JobDocument;
  checkpoints: CheckpointDocument[];
  /** Given when a failed job can go on. */
  onResume?: (() => void) | undefined;
}): JSX.Element | null {
  const { job, checkpoints, onResume } = props;
  const ending = endingOf(job, checkpoints);
  if (ending === null) {
    return null;
  }
  const newest = newestCheckpoint(checkpoints);
  return (
    <div className={`rc-Ending rc-Ending-${toneOf(job.state)}`}>
      <span className="rc-Ending-what">{ending.what}</span>
      <span className="rc-dim">{ending.next}</span>
      {onResume !== undefined && job.state === 'failed' && newest !== null && (
        <span>
          <button type="button" className="rc-Button" onClick={onResume}>
            Resume from {placeOf(newest)}
          </button>
        </span>
      )}
    </div>
  );
}

/** Earlier attempts of a job that was resumed, folded. */
export function EarlierAttempts(props: { attempts: AttemptDocument[] }): JSX.Element | null {
  const { attempts } = props;
  if (attempts.length === 0) {
    return null;
  }
  return (
    <details className="rc-Earlier">
      <summary>
        {attempts.length} earlier attempt{attempts.length === 1 ? '' : 's'}
      </summary>
      <ul>
        {attempts.map(attempt => (
          <li key={attempt.number}>
            <span className="rc-num">{attempt.number}</span>
            <StateMark state={attempt.state} />
            {attempt.started_at !== null && attempt.ended_at !== null && (
              <span className="rc-num">
                after {durationText(secondsBetween(attempt.started_at, attempt.ended_at))}
              </span>
            )}
            <span className="rc-dim">{attempt.cause?.message ?? ''}</span>
          </li>
        ))}
      </ul>
    </details>
  );
}
