import { act, fireEvent, render, screen, waitFor, within } from '@testing-library/react';
import { userEvent } from '@testing-library/user-event';
import axe from 'axe-core';
import type { JSX } from 'react';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Backend } from '../src/api/backend';
import { ConnectionContext } from '../src/api/context';
import type { CheckpointDocument, SeriesDocument } from '../src/api/documents';
import { MachineChart } from '../src/chart/MachineChart';
import { Metrics } from '../src/chart/Metrics';
import { FakeBackend } from './fakeBackend';
import { card, job, series } from './samples';

const ID = '261124-125030-7k2f';
const OTHER = '261124-101010-aaaa';

/** What jsdom lacks of a page that can draw: a canvas that takes everything, a size, media queries. */
function makeDrawable(): void {
  vi.spyOn(HTMLCanvasElement.prototype, 'getContext').mockImplementation(function (
    this: HTMLCanvasElement
  ) {
    return new Proxy<Record<string | symbol, unknown>>(
      { canvas: this },
      { get: (target, name) => (name in target ? target[name] : () => ({ width: 10 })) }
    ) as never;
  });
  vi.stubGlobal('matchMedia', () => ({
    addEventListener: () => undefined,
    removeEventListener: () => undefined
  }));
  vi.stubGlobal(
    'Path2D',
    class {
      moveTo = (): void => undefined;
      lineTo = (): void => undefined;
      rect = (): void => undefined;
      arc = (): void => undefined;
    }
  );
  vi.stubGlobal(
    'ResizeObserver',
    class {
      constructor(
        private readonly report: (entries: { contentRect: { width: number } }[]) => void
      ) {}
      observe(): void {
        this.report([{ contentRect: { width: 600 } }]);
      }
      disconnect = (): void => undefined;
    }
  );
}

/** A backend whose events go to the one job that they are of. */
class PerJob extends FakeBackend {
  private readonly followers = new Map<string, (document: SeriesDocument) => void>();

  override subscribe: Backend['subscribe'] = (topic, params, onEvent, onStatus) => {
    const end = super.subscribe(topic, params, onEvent, onStatus);
    if (topic !== 'series' || !('job' in params)) {
      return end;
    }
    const of = params.job;
    this.followers.set(of, onEvent);
    return () => {
      this.followers.delete(of);
      end();
    };
  };

  send(of: string, document: SeriesDocument): void {
    this.followers.get(of)?.(document);
  }

  get jobs(): string[] {
    return [...this.followers.keys()];
  }
}

class Saved extends FakeBackend {
  override readonly kind = 'snapshot';
}

function show(view: JSX.Element, backend: Backend): ReturnType<typeof render> {
  return render(
    <ConnectionContext.Provider value={{ backend, host: {} }}>{view}</ConnectionContext.Provider>
  );
}

function metrics(changes: Partial<Parameters<typeof Metrics>[0]> = {}): JSX.Element {
  return (
    <Metrics
      job={ID}
      snapshot={series()}
      checkpoints={[]}
      ended={false}
      onCheckpoint={() => undefined}
      {...changes}
    />
  );
}

const legends = (): string[] =>
  screen
    .getAllByRole('listitem')
    .map(item => item.textContent)
    .filter(text => text !== '');

beforeEach(makeDrawable);
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

const GONE = {
  live: false,
  trouble: { error: 'gone', what: 'The server is gone.', to_resolve: 'Start it.' }
};

describe('Metrics', () => {
  it('puts losses in one chart and the rest in their own, with last values and a table', async () => {
    const { container } = show(metrics(), new FakeBackend());
    await screen.findByRole('slider', { name: 'read loss' });
    expect(screen.getAllByRole('img').map(each => each.getAttribute('aria-label'))).toEqual([
      expect.stringContaining('chart of loss, last values: train_loss 0.3'),
      expect.stringContaining('chart of lr')
    ]);
    const table = within(screen.getByRole('table', { name: 'loss' }));
    expect(table.getByRole('row', { name: /val_loss .* 10$/ })).toBeTruthy();
    const { violations } = await axe.run(container, {
      rules: { 'color-contrast': { enabled: false } }
    });
    expect(violations).toEqual([]);
  });

  it('reads all series at the step that the keyboard goes to', async () => {
    const user = userEvent.setup();
    show(metrics(), new FakeBackend());
    const slider = await screen.findByRole('slider', { name: 'read loss' });
    slider.focus();
    await user.keyboard('{Home}{ArrowRight}');
    expect(slider.getAttribute('aria-valuetext')).toMatch(
      /^step 10: train_loss 2\.\d+; val_loss 2\.8$/
    );
    expect(legends()[0]).toMatch(/^train_loss2\.\d+$/);
    await user.keyboard('{Escape}');
    expect(slider.getAttribute('aria-valuetext')).toMatch(/^last values/);
  });

  it('reads what is under the pointer, in every chart', async () => {
    const { container } = show(metrics(), new FakeBackend());
    await screen.findByRole('slider', { name: 'read loss' });
    const over = container.querySelector('.rc-Over');
    expect(over).not.toBeNull();
    fireEvent.pointerMove(over ?? container, { clientX: 0 });
    await waitFor(() => {
      expect(screen.getAllByText('step 0')).toHaveLength(2);
    });
    fireEvent.pointerLeave(over ?? container);
    expect(screen.queryAllByText('step 0')).toHaveLength(0);
  });

  it('opens a checkpoint by click and by keyboard', async () => {
    const user = userEvent.setup();
    const opened: CheckpointDocument[] = [];
    const { checkpoints } = card();
    show(metrics({ checkpoints, onCheckpoint: each => opened.push(each) }), new FakeBackend());
    const group = await screen.findByRole('group', { name: 'checkpoints' });
    const points = within(group).getAllByRole('button');
    expect(points).toHaveLength(10);
    const [first, last] = [points[0], points[9]];
    await user.click(first ?? group);
    last?.focus();
    await user.keyboard('{ArrowLeft}{Enter}');
    expect(opened.map(each => each.seq)).toEqual([0, 8]);
    // One stop for Tab, however many there are.
    expect(points.filter(point => point.tabIndex === 0)).toHaveLength(1);
  });

  it('shows what happened', async () => {
    show(metrics(), new FakeBackend());
    await screen.findByRole('slider', { name: 'read loss' });
    expect(screen.getAllByText(/spot notice, resumed/).length).toBeGreaterThan(0);
  });

  it('follows the job and shows the newest values', async () => {
    const backend = new PerJob();
    show(metrics({ snapshot: null }), backend);
    expect(screen.getByRole('status', { name: 'reading the metrics' })).toBeTruthy();
    act(() => {
      backend.send(ID, {
        series: [{ name: 'loss', steps: [1], times: [1], values: [0.7], source: 'log' }],
        machine: null,
        marks: []
      });
    });
    expect((await screen.findAllByText('0.7')).length).toBeGreaterThan(0);
  });

  it('takes a series away and brings it back', async () => {
    const user = userEvent.setup();
    show(metrics(), new FakeBackend());
    const chip = await screen.findByRole('button', { name: 'lr' });
    await user.click(chip);
    expect(chip.getAttribute('aria-pressed')).toBe('false');
    expect(screen.queryByRole('table', { name: 'lr' })).toBeNull();
    await user.click(chip);
    expect(screen.getByRole('table', { name: 'lr' })).toBeTruthy();
  });

  it('lays another job over this one, and asks for jobs only when the list is open', async () => {
    const user = userEvent.setup();
    const backend = new PerJob();
    show(metrics(), backend);
    expect(backend.followed).toEqual(['series']);
    await user.click(screen.getByRole('button', { name: 'Overlay job…' }));
    act(() => {
      backend.emit('jobs', {
        reset: true,
        rows: [
          job(),
          job({ id: OTHER, name: 'resnet-lr1e-3' }),
          job({ id: '261124-121212-cccc', name: 'nothing-measured', metrics: {} })
        ],
        removed: []
      });
    });
    const boxes = screen.getAllByRole('checkbox');
    expect(boxes).toHaveLength(1);
    await user.click(screen.getByRole('checkbox', { name: /resnet-lr1e-3/ }));
    expect(backend.jobs).toEqual([ID, OTHER]);
    act(() => {
      backend.send(OTHER, series(60));
    });
    await waitFor(() => {
      expect(legends().filter(text => text.includes('resnet-lr1e-3'))).not.toHaveLength(0);
    });
    await user.keyboard('{Escape}');
    expect(backend.followed).not.toContain('jobs');
    await user.click(screen.getByRole('button', { name: 'remove resnet-lr1e-3' }));
    expect(backend.jobs).toEqual([ID]);
    expect(legends().filter(text => text.includes('resnet-lr1e-3'))).toHaveLength(0);
  });

  it('counts by time when there are no steps', async () => {
    const user = userEvent.setup();
    const stepless: SeriesDocument = {
      series: [
        { name: 'loss', steps: [null, null], times: [10, 70], values: [2, 1], source: 'log' }
      ],
      machine: null,
      marks: []
    };
    show(metrics({ snapshot: stepless }), new FakeBackend());
    expect(screen.getByRole('button', { name: 'Step' })).toHaveProperty('disabled', true);
    const slider = await screen.findByRole('slider', { name: 'read loss' });
    slider.focus();
    await user.keyboard('{End}');
    expect(slider.getAttribute('aria-valuetext')).toBe('1 m: loss 1');
  });

  it('says which formats are understood when nothing was found', () => {
    const nothing = { series: [], machine: null, marks: [] };
    show(metrics({ snapshot: nothing, ended: true }), new FakeBackend());
    expect(screen.getByText('No metrics were found.')).toBeTruthy();
    expect(screen.getByText(/tqdm bars/)).toBeTruthy();
    expect(screen.getByText('print(f"step={step} loss={loss:.4f}")')).toBeTruthy();
  });

  it('says what is wrong when there is no series at all', async () => {
    const backend = new FakeBackend();
    show(metrics({ snapshot: null }), backend);
    act(() => {
      backend.status(GONE);
    });
    expect((await screen.findByRole('alert')).textContent).toContain('The server is gone.');
    expect(screen.queryByRole('status', { name: 'reading the metrics' })).toBeNull();
  });

  it('keeps what it has without a word when it is merely not live', () => {
    const backend = new FakeBackend();
    show(metrics(), backend);
    act(() => {
      backend.status(GONE);
    });
    expect(screen.getByRole('table', { name: 'loss' })).toBeTruthy();
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it('asks nobody when there is only what was saved', () => {
    const backend = new Saved();
    show(metrics(), backend);
    expect(backend.followed).toEqual([]);
    expect(screen.queryByRole('button', { name: 'Overlay job…' })).toBeNull();
    expect(screen.getByRole('table', { name: 'loss' })).toBeTruthy();
  });

  it('lets go of everything when it is taken away', () => {
    const backend = new FakeBackend();
    const { unmount } = show(metrics(), backend);
    unmount();
    expect(backend.followed).toEqual([]);
  });

  it('has the table where nothing can be drawn', () => {
    vi.stubGlobal('matchMedia', undefined);
    show(metrics(), new FakeBackend());
    expect(screen.queryByRole('img')).toBeNull();
    expect(screen.getByRole('table', { name: 'loss' })).toBeTruthy();
  });
});

describe('MachineChart', () => {
  it('shows what the machine has, and no GPU where there is none', () => {
    const machine = series(4).machine;
    show(
      <MachineChart
        series={
          machine && { ...machine, gpu_percent: machine.times.map(() => null), gpu_memory_used: [] }
        }
      />,
      new FakeBackend()
    );
    expect(screen.getAllByRole('table')).toHaveLength(2);
    expect(screen.getAllByText('8.0 GB').length).toBeGreaterThan(0);
  });

  it('says that there are no readings', () => {
    show(<MachineChart series={null} />, new FakeBackend());
    expect(screen.getByText(/No readings of the machine yet/)).toBeTruthy();
  });
});
