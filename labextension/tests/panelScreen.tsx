import { act, render } from '@testing-library/react';
import type { JSX } from 'react';
import { vi } from 'vitest';

import type { Host, Queries, QueryName } from '../src/api/backend';
import { ConnectionContext } from '../src/api/context';
import type { CostsDocument, InstanceDocument, JobDocument } from '../src/api/documents';
import { Panel } from '../src/panel/Panel';
import { FakeBackend } from './fakeBackend';

export const ROOT = 's3://lab-runs/runctl/';

/** Takes note of what is scrolled to: a page without layout cannot. */
export const scrolled = vi.fn();
Element.prototype.scrollIntoView = scrolled;

export const PLACE: Queries['place']['result'] = {
  target: 'aws',
  region: 'us-east-1',
  bucket: 'lab-runs',
  root: ROOT,
  identity: 'user/ada',
  user: 'ada',
  mode: null
};

type Answers = ConstructorParameters<typeof FakeBackend>[0];
type Deeds = ConstructorParameters<typeof FakeBackend>[1];

/** A backend whose place is known and whose bucket is empty, and which keeps the signals of what it was asked. */
export class PanelBackend extends FakeBackend {
  readonly signals: { method: QueryName; signal: AbortSignal | undefined }[] = [];

  constructor(answers: Answers = {}, deeds: Deeds = {}) {
    super(
      {
        place: () => PLACE,
        places: () => ({ places: [] }),
        objects: ({ uri }) => ({ uri, prefixes: [], objects: [], next: null }),
        checkpoints: () => ({ checkpoints: [] }),
        types: () => ({
          types: [
            { name: 'm5.large', vcpus: 2, memory_gib: 8, gpus: 0, price_per_hour: 0.096 },
            { name: 'g5.xlarge', vcpus: 4, memory_gib: 16, gpus: 1, price_per_hour: 1.006 }
          ]
        }),
        ...answers
      },
      deeds
    );
  }

  override async query<M extends QueryName>(
    method: M,
    params: Queries[M]['params'],
    signal?: AbortSignal
  ): Promise<Queries[M]['result']> {
    this.signals.push({ method, signal });
    return await super.query(method, params);
  }
}

/** Show the panel, and wait for what it asks at once. */
export async function open(
  backend: FakeBackend,
  host: Host = {},
  props: Parameters<typeof Panel>[0] = {}
): Promise<(props: Parameters<typeof Panel>[0]) => void> {
  const view = (given: Parameters<typeof Panel>[0]): JSX.Element => (
    <ConnectionContext.Provider value={{ backend, host }}>
      <div className="rc-Root">
        <Panel {...given} />
      </div>
    </ConnectionContext.Provider>
  );
  const { rerender } = render(view(props));
  await act(async () => {
    await Promise.resolve();
  });
  return given => {
    rerender(view(given));
  };
}

/** Let the topic tell of jobs. */
export function tellJobs(
  backend: FakeBackend,
  rows: JobDocument[],
  more: { reset?: boolean; removed?: string[] } = {}
): void {
  act(() => {
    backend.emit('jobs', { reset: true, removed: [], rows, ...more });
  });
}

/** Let the topic tell of machines. */
export function tellMachines(
  backend: FakeBackend,
  rows: InstanceDocument[],
  more: { reset?: boolean; removed?: string[] } = {}
): void {
  act(() => {
    backend.emit('instances', { reset: true, removed: [], rows, ...more });
  });
}

/** Let the topic tell of costs. */
export function tellCosts(backend: FakeBackend, changes: Partial<CostsDocument> = {}): void {
  act(() => {
    backend.emit('costs', {
      price_per_hour: 1.376,
      running_usd: 3.54,
      today_usd: 4.58,
      week_usd: 31.2,
      jobs: [],
      ...changes
    });
  });
}

/** A page without layout gives nothing a height: pretend one. */
export function pretendHeights(): void {
  const height = function (this: Element): number {
    return this.classList.contains('rc-RowList') ? 384 : 48;
  };
  vi.spyOn(HTMLElement.prototype, 'offsetHeight', 'get').mockImplementation(height);
  vi.spyOn(Element.prototype, 'clientHeight', 'get').mockImplementation(height);
  vi.spyOn(HTMLElement.prototype, 'offsetWidth', 'get').mockReturnValue(300);
  vi.spyOn(Element.prototype, 'clientWidth', 'get').mockReturnValue(300);
}
