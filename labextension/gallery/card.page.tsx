import type { Host } from '../src/api/backend';
import type { CardDocument, JobDocument } from '../src/api/documents';
import { JobCard } from '../src/card/JobCard';
import { FakeBackend } from '../tests/fakeBackend';
import { NOW, before, card, checkpoint, job, series } from '../tests/samples';
import { show } from './frame';

// The samples stand in a time of their own.
Date.now = () => NOW + performance.now();

const query = new URLSearchParams(location.search);
const shown = query.get('show') ?? 'running';

const ended = (changes: Partial<JobDocument>): JobDocument =>
  job({
    ended_at: before(180),
    machine: null,
    phases: job().phases.map(phase =>
      phase.ended_at === null ? { ...phase, ended_at: before(180) } : phase
    ),
    ...changes
  });

const CARDS: Record<string, () => CardDocument> = {
  running: () => card(),
  starting: () =>
    card({
      job: job({
        state: 'starting',
        attempt: 1,
        earlier: [],
        instance_id: null,
        machine: null,
        progress: null,
        checkpoint_count: 0,
        cost_usd: 0,
        created_at: before(95),
        phases: [
          {
            name: 'capacity',
            began_at: before(95),
            ended_at: null,
            detail: 'no spot capacity in us-east-1a, trying us-east-1b'
          }
        ]
      }),
      checkpoints: [],
      log_tail: [],
      series: null
    }),
  failed: () =>
    card({
      job: ended({
        state: 'failed',
        exit_code: 1,
        cause: {
          kind: 'cuda-out-of-memory',
          message: 'CUDA out of memory: tried to allocate 2.40 GiB <img src=x onerror=alert(1)>',
          signal: null
        }
      })
    }),
  interrupted: () =>
    card({
      job: ended({
        state: 'interrupted',
        cause: { kind: 'spot', message: 'AWS takes the spot machine back', signal: null }
      })
    }),
  capped: () =>
    card({
      job: ended({
        state: 'capped',
        cost_usd: 5,
        cause: { kind: 'max-cost', message: 'It has cost its cap of $5.00', signal: null }
      })
    }),
  lost: () =>
    card({
      job: ended({
        state: 'lost',
        checkpoint_count: 0,
        cause: { kind: 'machine', message: 'The machine is gone', signal: null }
      }),
      checkpoints: []
    }),
  cancelled: () => card({ job: ended({ state: 'cancelled' }) }),
  succeeded: () =>
    card({
      job: ended({ state: 'succeeded', exit_code: 0, progress: null, earlier: [] })
    }),
  local: () =>
    card({
      job: job({
        target: 'local',
        instance_type: null,
        instance_id: null,
        cost_usd: null,
        price_per_hour: null,
        max_cost_usd: null,
        ends_at: null,
        machine: { ...job().machine, gpus: [] } as JobDocument['machine']
      })
    }),
  long: () =>
    card({
      job: job({
        name: `a-sweep-over-everything-${'with-a-long-name-'.repeat(6)}lr3e-4`,
        script: `experiments/${'deeply/'.repeat(12)}train.py`,
        instance_type: 'p5en.48xlarge',
        region: 'ap-southeast-2',
        max_cost_usd: 12_500
      }),
      checkpoints: [checkpoint(9, { name: `${'epoch-and-step-'.repeat(6)}610.safetensors` })]
    }),
  many: () =>
    card({
      job: job({ checkpoint_count: 1000 }),
      checkpoints: Array.from({ length: 1000 }, (_, seq) =>
        checkpoint(seq, {
          latest: seq === 999,
          created_at: before(4245 - seq * 4),
          metrics: { val_loss: 0.4 + 0.5 / (seq + 1), val_acc: 0.9 - 0.4 / (seq + 1) }
        })
      )
    }),
  none: () => card({ job: job({ checkpoint_count: 0 }), checkpoints: [] })
};

class SnapshotBackend extends FakeBackend {
  override readonly kind = 'snapshot';
}

const sample = (CARDS[shown] ?? (() => card()))();
const answers = new FakeBackend(
  {
    card: () => sample,
    series: () => series(),
    checkpoints: () => ({ checkpoints: sample.checkpoints }),
    log: () => ({ pieces: [], size: 0, ended: false }),
    record: () => ({
      facts: [
        ['script', 'train.py --epochs 100'],
        ['commit', '4f1c2ab (2 files changed)'],
        ['python', '3.11.9'],
        ['image', 'Deep Learning AMI GPU PyTorch 2.4']
      ],
      text: 'torch==2.4.1\ntorchvision==0.19.1\nnumpy==2.1.0\n'
    }),
    preview: ({ uri }) => ({
      uri,
      size: 98_400_000,
      kind: 'tensors',
      text: 'conv1.weight  F32  64 × 3 × 7 × 7\nfc.bias       F32  1000',
      truncated: true,
      facts: [
        ['tensors', '62'],
        ['parameters', '25.6 M']
      ]
    })
  },
  {
    cancel: () => new Promise(() => undefined),
    resume: () => new Promise(() => undefined)
  }
);
const backend = shown === 'saved' ? new SnapshotBackend() : answers;
const host: Host = query.has('bare')
  ? {}
  : { insertCell: () => undefined, openObjects: () => undefined };

show(
  <div style={{ padding: 12 }}>
    {shown === 'loading' ? (
      <JobCard job={sample.job.id} />
    ) : (
      <JobCard job={sample.job.id} snapshot={sample} />
    )}
  </div>,
  backend,
  host
);

setTimeout(() => {
  if (!['saved', 'loading', 'stale'].includes(shown)) {
    answers.emit('card', { ...sample, log_tail: [], series: null });
    answers.emit('series', series());
    answers.emit('log', {
      pieces: [
        {
          start: 0,
          end: sample.log_tail.join('\n').length,
          time: before(3),
          origin: 'script',
          text: sample.log_tail.join('\n')
        }
      ],
      size: sample.log_tail.join('\n').length,
      ended: false
    });
  }
  if (shown === 'stale') {
    answers.status({
      live: false,
      trouble: {
        error: 'credentials-missing',
        what: 'The SSO token has expired.',
        to_resolve: 'Sign in again: aws sso login --profile lab.'
      }
    });
  }
  // What to press before one looks, by its name: `?press=Checkpoints,More actions`.
  for (const name of (query.get('press') ?? '').split(',').filter(each => each !== '')) {
    setTimeout(() => {
      const buttons = [...document.querySelectorAll<HTMLElement>('button, summary')];
      buttons.find(each => (each.ariaLabel ?? each.textContent).trim().startsWith(name))?.click();
    }, 50);
  }
}, 50);
