import type { JSX } from 'react';

import type { ErrorDocument } from '../api/documents';
import { clockText } from '../card/clock';
import { durationText } from '../ui/format';
import { Trouble } from '../ui/Trouble';
import type { Freshness } from './useLive';

/** Whether it is no fault but a fact: the sandbox does not run, this target has no such thing. */
export function isCalm(error: ErrorDocument | null | undefined): boolean {
  return error?.error === 'target-unavailable';
}

/** The placeholder of rows that have not come yet. */
export function Skeleton(): JSX.Element {
  return (
    <div aria-busy="true">
      <span className="rc-hidden">Loading</span>
      {[72, 56, 64].map(width => (
        <div key={width} className="rc-Skeleton" style={{ width: `${String(width)}%` }} />
      ))}
    </div>
  );
}

/** What is wrong with the way here, and how old what is shown is. */
export function Stale(props: { of: Freshness; now: number }): JSX.Element | null {
  const { trouble, staleSince, loaded } = props.of;
  if (trouble === null) {
    return null;
  }
  if (isCalm(trouble)) {
    return (
      <div className="rc-Panel-calm" role="status">
        <span>{trouble.what}</span>
        <span className="rc-dim">{trouble.to_resolve}</span>
      </div>
    );
  }
  return (
    <Trouble error={trouble}>
      {loaded && staleSince !== null && (
        <span className="rc-dim rc-small rc-num">
          What is shown is of {clockText(new Date(staleSince).toISOString(), props.now)},{' '}
          {durationText((props.now - staleSince) / 1000)} ago; trying again.
        </span>
      )}
    </Trouble>
  );
}
