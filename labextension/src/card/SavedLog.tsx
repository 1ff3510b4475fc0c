import type { JSX } from 'react';

/** The last lines of a log, as they were saved. */
export function SavedLog(props: { lines: string[] }): JSX.Element {
  if (props.lines.length === 0) {
    return <p className="rc-Empty">Nothing had been printed yet.</p>;
  }
  return (
    <pre
      className="rc-Text rc-SavedLog"
      role="log"
      aria-live="off"
      aria-label="Last lines of the log"
      tabIndex={0}
    >
      {props.lines.join('\n')}
    </pre>
  );
}
