import type { JSX } from 'react';

import type { CheckpointDocument, Series, SeriesDocument } from '../src/api/documents';
import { MachineChart } from '../src/chart/MachineChart';
import { Metrics } from '../src/chart/Metrics';
import { FakeBackend } from '../tests/fakeBackend';
import { NOW, card, job, series } from '../tests/samples';
import { show } from './frame';

const ID = '261124-125030-7k2f';

function curve(name: string, points: number, valueAt: (index: number) => number | null): Series {
  const index = Array.from({ length: points }, (_, each) => each);
  return {
    name,
    steps: index.map(each => each * 10),
    times: index.map(each => NOW / 1000 - 4245 + each * 7),
    values: index.map(valueAt),
    source: 'log'
  };
}

function only(...all: Series[]): SeriesDocument {
  return { series: all, machine: null, marks: [] };
}

const falling = (index: number): number => 2 * Math.exp(-index / 120) + 0.1 * Math.sin(index * 7);

const DOCUMENTS: Record<string, () => SeriesDocument> = {
  normal: () => series(),
  many: () =>
    only(
      ...Array.from({ length: 20 }, (_, each) =>
        curve(
          each % 3 === 0
            ? `head_${String(each)}_loss`
            : `eval/metric_with_a_long_name_${String(each)}`,
          600,
          index => falling(index) * 10 ** ((each % 4) - 2)
        )
      )
    ),
  zeros: () =>
    only(
      curve('loss', 600, index => (index % 97 === 0 ? 0 : Math.exp(-index / 60))),
      curve('grad_norm', 600, index => 10 + falling(index))
    ),
  gaps: () =>
    only(
      curve('train_loss', 300, index => (index % 60 > 45 ? null : falling(index))),
      curve('val_loss', 300, index => (index % 20 === 0 ? falling(index) + 0.2 : null))
    ),
  one: () => only(curve('loss', 1, () => 0.7)),
  empty: () => only(),
  big: () =>
    only(...Array.from({ length: 10 }, (_, each) => curve(`loss_${String(each)}`, 2000, falling)))
};

const other = { ...series(450), marks: [] };
other.series = other.series.map(each => ({
  ...each,
  values: each.values.map(value => (value === null ? null : value * 1.15))
}));

/** Sends the jobs' series as soon as they are asked for, so that the page needs no server. */
class Speaking extends FakeBackend {
  override subscribe: FakeBackend['subscribe'] = (topic, params, onEvent, onStatus) => {
    const end = super.subscribe(topic, params, onEvent, onStatus);
    queueMicrotask(() => {
      if (topic === 'jobs') {
        this.emit('jobs', {
          reset: true,
          rows: [
            job({ id: '261124-101010-aaaa', name: 'resnet-lr1e-3', state: 'succeeded' }),
            job({
              id: '261124-111111-bbbb',
              name: 'a-much-longer-name-of-a-job-that-failed-early',
              state: 'failed'
            })
          ],
          removed: []
        });
      } else if (topic === 'series' && 'job' in params && params.job !== ID) {
        (onEvent as (event: SeriesDocument) => void)(other);
      }
    });
    return end;
  };
}

const query = new URLSearchParams(location.search);
const what = query.get('show') ?? 'normal';
const many = query.has('checkpoints');
const checkpoints: CheckpointDocument[] = many
  ? (Array.from({ length: 500 }, (_, seq) => ({
      ...card().checkpoints[0],
      uri: `s3://lab-runs/${String(seq)}`,
      step: seq * 12
    })) as CheckpointDocument[])
  : what === 'normal'
    ? card().checkpoints
    : [];

function Page(): JSX.Element {
  if (what === 'machine') {
    return <MachineChart series={series().machine} />;
  }
  return (
    <Metrics
      job={ID}
      snapshot={what === 'loading' ? null : (DOCUMENTS[what] ?? series)()}
      checkpoints={checkpoints}
      ended={query.has('ended')}
      onCheckpoint={checkpoint => {
        document.title = checkpoint.name;
      }}
    />
  );
}

const backend = new Speaking();
show(<Page />, backend);

// For measuring: what an update costs, from the event on. The documents are made before.
const updates = [1, 0.9].map(factor => {
  const document = (DOCUMENTS[what] ?? series)();
  for (const each of document.series) {
    each.values = each.values.map(value => (value === null ? null : value * factor));
  }
  return document;
});
Object.assign(window, {
  update: () => {
    updates.reverse();
    const begun = performance.now();
    backend.emit('series', updates[0] ?? series());
    return begun;
  }
});
