import type { JSX } from 'react';

import type { InstanceState, JobState } from '../api/documents';

type Tone = 'busy' | 'good' | 'warn' | 'bad' | 'idle';

/** A shape on a 10 × 10 grid and a tone for each state: never colour alone. */
const MARKS: Record<JobState | InstanceState, [Tone, string]> = {
  queued: ['idle', 'M5 1a4 4 0 1 1 0 8 4 4 0 0 1 0-8zm0 1.5a2.5 2.5 0 1 0 0 5 2.5 2.5 0 0 0 0-5z'],
  starting: ['busy', 'M5 0a5 5 0 0 1 0 10zm0 0a5 5 0 0 0 0 10V8.6a3.6 3.6 0 0 1 0-7.2z'],
  pending: ['busy', 'M5 0a5 5 0 0 1 0 10zm0 0a5 5 0 0 0 0 10V8.6a3.6 3.6 0 0 1 0-7.2z'],
  running: ['busy', 'M5 0a5 5 0 1 1 0 10A5 5 0 0 1 5 0z'],
  succeeded: ['good', 'M3.8 9.2.4 5.6l1.3-1.3 2 2.1L8.3.9l1.4 1.2z'],
  failed: ['bad', 'M1.4 0 5 3.6 8.6 0 10 1.4 6.4 5 10 8.6 8.6 10 5 6.4 1.4 10 0 8.6 3.6 5 0 1.4z'],
  cancelled: ['idle', 'M1 1h8v8H1z'],
  stopped: ['idle', 'M1 1h8v8H1z'],
  interrupted: ['warn', 'M5 0l5 10H0z'],
  capped: ['warn', 'M5 0l5 5-5 5-5-5z'],
  stopping: ['warn', 'M5 0a5 5 0 0 0 0 10zm0 0a5 5 0 0 1 0 10V8.6a3.6 3.6 0 0 0 0-7.2z'],
  'shutting-down': ['warn', 'M5 0a5 5 0 0 0 0 10zm0 0a5 5 0 0 1 0 10V8.6a3.6 3.6 0 0 0 0-7.2z'],
  terminated: ['idle', 'M1 1h8v8H1zm1.4 1.4v5.2h5.2V2.4z'],
  lost: ['bad', 'M2 3a3 3 0 1 1 3.8 2.9V7H4.2V4.6A1.5 1.5 0 1 0 3.6 3zm2.2 5h1.6v1.6H4.2z']
};

/** The tone of a state, for colours beside its mark. */
export function toneOf(state: JobState | InstanceState): Tone {
  return MARKS[state][0];
}

/** Shape, colour and, unless `wordless`, word of a state. */
export function StateMark(props: {
  state: JobState | InstanceState;
  wordless?: boolean;
}): JSX.Element {
  const [tone, path] = MARKS[props.state];
  return (
    <span className={`rc-State rc-tone-${tone}`} title={props.state}>
      <svg viewBox="0 0 10 10" aria-hidden="true">
        <path d={path} fill="currentColor" fillRule="evenodd" />
      </svg>
      <span className={props.wordless === true ? 'rc-hidden' : undefined}>{props.state}</span>
    </span>
  );
}
