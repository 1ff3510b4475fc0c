import type { InstanceState, JobState } from '../src/api/documents';
import { Confirm } from '../src/ui/Confirm';
import { StateMark } from '../src/ui/StateMark';
import { Trouble } from '../src/ui/Trouble';
import { FakeBackend } from '../tests/fakeBackend';
import { show } from './frame';

const STATES: (JobState | InstanceState)[] = [
  'queued',
  'starting',
  'running',
  'succeeded',
  'failed',
  'cancelled',
  'interrupted',
  'capped',
  'lost',
  'pending',
  'stopping',
  'stopped',
  'shutting-down',
  'terminated'
];

show(
  <div style={{ display: 'grid', gap: 8, padding: 12 }}>
    {STATES.map(state => (
      <StateMark key={state} state={state} />
    ))}
    <Confirm
      title="Terminate dev-box?"
      lost="its disk and the job resnet-lr3e-4 that runs on it."
      kept="checkpoints and logs in S3."
      verb="Terminate"
      onYes={() => undefined}
      onNo={() => undefined}
    />
    <Trouble
      error={{
        error: 'credentials-missing',
        what: 'The SSO token has expired.',
        to_resolve: 'Sign in again: aws sso login --profile lab'
      }}
    />
  </div>,
  new FakeBackend()
);
