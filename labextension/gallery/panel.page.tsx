import type { JobState } from '../src/api/documents';
import { Panel } from '../src/panel/Panel';
import { before, card, checkpoint, instance, job } from '../tests/samples';
import { FakeBackend } from '../tests/fakeBackend';
import { show } from './frame';

const query = new URLSearchParams(location.search);
/** How many jobs: 0, 1, 3, 5000 … and a tenth as many machines, but two. */
const count = Number(query.get('rows') ?? '3');
const long = query.has('long');
const STATES: JobState[] = ['succeeded', 'failed', 'cancelled', 'interrupted', 'capped', 'lost'];
const OOM = { kind: 'cuda-out-of-memory', message: 'CUDA out of memory', signal: null };

function name(text: string): string {
  return long ? `${text}-with-a-name-that-somebody-made-by-joining-every-parameter-lr3e-4` : text;
}

const jobs = [
  job({ name: name('resnet'), started_at: new Date(Date.now() - 4_320_000).toISOString() }),
  job({
    id: '261124-125030-9qq1',
    name: name('bert-ft-2'),
    state: 'interrupted',
    cause: { kind: 'spot', message: 'AWS takes the spot machine back', signal: null },
    cost_usd: 1.02,
    created_at: before(9000),
    started_at: before(8900),
    ended_at: before(1000)
  }),
  job({
    id: '261124-125030-vit0',
    name: name('vit-small'),
    state: 'failed',
    cause: OOM,
    cost_usd: 0.02,
    created_at: before(20_000),
    started_at: before(20_000),
    ended_at: before(19_820)
  }),
  ...Array.from({ length: Math.max(0, count - 3) }, (_, index) =>
    job({
      id: `261123-000000-${String(index).padStart(4, '0')}`,
      name: name(`sweep-${String(index)}`),
      state: STATES[index % STATES.length] ?? 'failed',
      cost_usd: (index % 300) / 100,
      created_at: before(30_000 + index * 60),
      started_at: before(30_000 + index * 60),
      ended_at: before(29_000 + index * 60)
    })
  )
].slice(0, count);

const machines = [
  instance({ launched_at: new Date(Date.now() - 11_100_000).toISOString() }),
  instance({
    id: 'i-1',
    name: name('resnet'),
    spot: true,
    price_per_hour: 0.37,
    cost_usd: 0.44,
    gpu_percent: 93,
    owner: 'grace',
    launched_at: new Date(Date.now() - 4_320_000).toISOString(),
    jobs: [{ id: '261124-125030-7k2f', name: name('resnet') }]
  }),
  instance({ id: 'i-2', name: 'old', state: 'terminated', jobs: [] }),
  ...Array.from({ length: Math.max(0, Math.floor(count / 5) - 1) }, (_, index) =>
    instance({ id: `i-many-${String(index)}`, name: `worker-${String(index)}`, state: 'stopped' })
  )
].slice(0, count);

const root = 's3://lab-runs/runctl/';
const backend = new FakeBackend(
  {
    place: () => ({
      target: 'aws',
      region: 'us-east-1',
      bucket: 'lab-runs',
      root,
      identity: 'user/ada',
      user: 'ada',
      mode: null
    }),
    places: () => ({
      places: [
        { id: 'a', target: 'aws', region: 'us-east-1', bucket: 'lab-runs' },
        { id: 'b', target: 'sandbox', region: 'us-east-1', bucket: 'sandbox' }
      ]
    }),
    card: ({ job: id }) => card({ job: job({ id }) }),
    series: () => ({ series: [], machine: null, marks: [] }),
    log: () => ({ pieces: [], size: 0, ended: false }),
    checkpoints: () => ({
      checkpoints: Array.from({ length: 10 }, (_, seq) =>
        checkpoint(seq, { name: name(`step_${String((seq + 1) * 610)}.safetensors`) })
      )
    }),
    objects: ({ uri, token, filter }) => {
      const start = Number(token ?? 0);
      const end = Math.min(start + 200, count > 3 ? 100_000 : count);
      return {
        uri,
        prefixes:
          token === undefined && count > 0
            ? ['blobs', 'jobs', name('data')].map(each => ({
                name: `${each}/`,
                uri: `${uri}${each}/`
              }))
            : [],
        objects: Array.from({ length: end - start }, (_, index) => ({
          name: `${filter ?? ''}${name(`object-${String(start + index)}`)}.json`,
          uri: `${uri}${filter ?? ''}object-${String(start + index)}.json`,
          size: 2048 * (index + 1),
          last_modified: before(60 * index)
        })),
        next: end < 100_000 && count > 3 ? String(end) : null
      };
    },
    preview: ({ uri }) => ({
      uri,
      size: 98_400_000,
      kind: 'json',
      text: JSON.stringify({ epoch: 61, loss: 0.312, tags: ['<img onerror=alert(1)>'] }, null, 2),
      truncated: true,
      facts: [['Kind', 'JSON']]
    }),
    types: () => ({
      types: [
        { name: 'm5.large', vcpus: 2, memory_gib: 8, gpus: 0, price_per_hour: 0.096 },
        { name: 'g5.xlarge', vcpus: 4, memory_gib: 16, gpus: 1, price_per_hour: 1.006 }
      ]
    })
  },
  {
    terminate: ({ instance: id }) => ({ instance: instance({ id, state: 'shutting-down' }) })
  }
);

show(
  <Panel
    {...(query.has('objects') ? { objectsUri: `${root}jobs/261124-125030-7k2f/checkpoints/` } : {})}
    {...(query.has('places') ? { onPlace: () => undefined } : {})}
  />,
  backend,
  { insertCell: () => undefined }
);

function begin(): void {
  if (query.has('loading')) {
    return;
  }
  if (backend.followed.length < 3) {
    requestAnimationFrame(begin);
    return;
  }
  if (!query.has('calm')) {
    sendRows();
  }
  if (query.has('calm') || query.has('trouble')) {
    backend.status({
      live: false,
      trouble: query.has('calm')
        ? {
            error: 'target-unavailable',
            what: 'The sandbox is not running.',
            to_resolve: 'It starts with the first job: put %%runctl train over a cell.'
          }
        : {
            error: 'credentials-missing',
            what: 'The AWS credentials have expired.',
            to_resolve: 'Sign in again: aws sso login --profile lab'
          }
    });
  }
}

function sendRows(): void {
  backend.emit('jobs', { reset: true, rows: jobs, removed: [] });
  backend.emit('instances', { reset: true, rows: machines, removed: [] });
  backend.emit('costs', {
    price_per_hour: count === 0 ? 0 : 1.376,
    running_usd: count === 0 ? 0 : 3.54,
    today_usd: count === 0 ? 0 : 4.58,
    week_usd: count === 0 ? 0 : 31.2,
    jobs: jobs.slice(0, 10).map((each, index) => ({
      id: each.id,
      name: each.name,
      cost_usd: 4 / (index + 1),
      ended: index > 0
    }))
  });
}
begin();
/** Press the buttons of `?press=One|Another`, one after the other, as each comes into being. */
function press([label, ...rest]: string[]): void {
  if (label === undefined) {
    return;
  }
  const button = [...document.querySelectorAll<HTMLElement>('button, summary')].find(each =>
    `${each.getAttribute('aria-label') ?? ''} ${each.textContent}`.includes(label)
  );
  button?.click();
  requestAnimationFrame(() => {
    press(button === undefined ? [label, ...rest] : rest);
  });
}
press((query.get('press') ?? '').split('|').filter(label => label !== ''));
