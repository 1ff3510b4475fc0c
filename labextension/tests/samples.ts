/** Documents for tests and the gallery, as the Python side would send them. */
import type {
  CardDocument,
  CheckpointDocument,
  InstanceDocument,
  JobDocument,
  SeriesDocument
} from '../src/api/documents';

export const NOW = Date.parse('2026-11-24T14:02:30Z');

/** ISO time `seconds` before `NOW`. */
export function before(seconds: number): string {
  return new Date(NOW - seconds * 1000).toISOString();
}

export function job(changes: Partial<JobDocument> = {}): JobDocument {
  return {
    id: '261124-125030-7k2f',
    name: 'resnet-lr3e-4',
    state: 'running',
    phase: 'training',
    attempt: 2,
    exit_code: null,
    cause: null,
    instance_id: 'i-0123456789abcdef0',
    instance_type: 'g5.xlarge',
    spot: true,
    target: 'aws',
    region: 'us-east-1',
    owner: 'ada',
    price_per_hour: 0.37,
    cost_usd: 0.44,
    max_cost_usd: 5,
    ends_at: before(-24480),
    created_at: before(4320),
    started_at: before(4245),
    ended_at: null,
    updated_at: before(2),
    log_bytes: 1_600_000,
    checkpoint_count: 10,
    output_count: 3,
    output_bytes: 98_400_000,
    script: 'train.py',
    arguments: ['--epochs', '100'],
    phases: [
      { name: 'capacity', began_at: before(4320), ended_at: before(4318), detail: '' },
      { name: 'boot', began_at: before(4318), ended_at: before(4294), detail: '' },
      { name: 'environment', began_at: before(4294), ended_at: before(4283), detail: '' },
      { name: 'data', began_at: before(4283), ended_at: before(4245), detail: '' },
      { name: 'training', began_at: before(4245), ended_at: null, detail: '' }
    ],
    progress: { step: 6100, total: 10_000, left_s: 2760 },
    metrics: { train_loss: 0.312, val_loss: 0.401 },
    machine: {
      time: before(2),
      cpu_percent: 312,
      memory_used: 9_100_000_000,
      memory_total: 16_000_000_000,
      gpus: [{ percent: 93, memory_used: 18_100_000_000, memory_total: 22_400_000_000 }]
    },
    earlier: [
      {
        number: 1,
        state: 'interrupted',
        started_at: before(4245),
        ended_at: before(2600),
        cause: { kind: 'spot', message: 'AWS takes the spot machine back', signal: null }
      }
    ],
    ...changes
  };
}

export function instance(changes: Partial<InstanceDocument> = {}): InstanceDocument {
  return {
    id: 'i-0123456789abcdef0',
    name: 'dev-box',
    state: 'running',
    instance_type: 'g5.xlarge',
    spot: false,
    availability_zone: 'us-east-1b',
    launched_at: before(11_100),
    price_per_hour: 1.006,
    cost_usd: 3.1,
    owner: 'ada',
    expires_at: before(-17_700),
    state_reason: '',
    jobs: [],
    gpu_percent: 12,
    ...changes
  };
}

export function checkpoint(
  seq: number,
  changes: Partial<CheckpointDocument> = {}
): CheckpointDocument {
  const step = (seq + 1) * 610;
  return {
    uri: `s3://lab-runs/runctl/jobs/261124-125030-7k2f/checkpoints/2-0000${String(seq)}/step_${String(step)}.safetensors`,
    name: `step_${String(step)}.safetensors`,
    step,
    metrics: { val_loss: 0.4 + 0.5 / (seq + 1) },
    size: 98_400_000,
    created_at: before(4245 - seq * 400),
    format: 'safetensors',
    complete: true,
    job_id: '261124-125030-7k2f',
    attempt: 2,
    seq,
    latest: seq === 9,
    ...changes
  };
}

export function series(points = 600): SeriesDocument {
  const index = Array.from({ length: points }, (_, i) => i);
  const times = index.map(i => (NOW - 4245_000) / 1000 + i * 7);
  const noise = (i: number): number => Math.sin(i * 12.9898) * 0.06;
  return {
    series: [
      {
        name: 'train_loss',
        steps: index.map(i => i * 10),
        times,
        values: index.map(i => 2.3 * Math.exp(-i / 150) + 0.3 + noise(i)),
        source: 'log'
      },
      {
        name: 'val_loss',
        steps: index.filter(i => i % 60 === 0).map(i => i * 10),
        times: times.filter((_, i) => i % 60 === 0),
        values: index.filter(i => i % 60 === 0).map(i => 2.4 * Math.exp(-i / 150) + 0.4),
        source: 'log'
      },
      {
        name: 'lr',
        steps: index.map(i => i * 10),
        times,
        values: index.map(i => 3e-4 * (1 - i / 900)),
        source: 'tensorboard'
      }
    ],
    machine: {
      times,
      cpu_percent: index.map(i => 300 + 40 * Math.sin(i / 9)),
      memory_used: index.map(i => 8e9 + i * 2e6),
      memory_total: 16e9,
      gpu_percent: index.map(i => 90 + 6 * Math.sin(i / 5)),
      gpu_memory_used: index.map(() => 18.1e9),
      gpu_memory_total: 22.4e9
    },
    marks: [
      {
        time: (NOW - 2600_000) / 1000,
        step: 2350,
        kind: 'interrupted',
        text: 'spot notice, resumed in us-east-1b after 1 m 50 s'
      }
    ]
  };
}

export function card(changes: Partial<CardDocument> = {}): CardDocument {
  return {
    job: job(),
    checkpoints: Array.from({ length: 10 }, (_, seq) => checkpoint(seq)),
    log_tail: [
      'epoch 61  step 6080  train_loss=0.3187  lr=2.1e-04  412 img/s',
      'epoch 61  step 6090  train_loss=0.3121  lr=2.1e-04  415 img/s',
      'epoch 61  step 6100  train_loss=0.3119  lr=2.1e-04  414 img/s'
    ],
    series: series(),
    as_of: before(0),
    note: '',
    ...changes
  };
}
