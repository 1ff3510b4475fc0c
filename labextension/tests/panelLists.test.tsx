import { act, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import axe from 'axe-core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { BackendError } from '../src/api/backend';
import type { InstanceDocument, JobDocument } from '../src/api/documents';
import {
  PanelBackend,
  open,
  pretendHeights,
  tellCosts,
  tellJobs,
  tellMachines
} from './panelScreen';
import { before, instance, job } from './samples';

vi.mock('../src/card/JobCard', () => import('./cardStandIn'));
// Roles and axe over a whole panel take a while on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

const rowsOf = (list: string): HTMLElement[] =>
  within(screen.getByRole('list', { name: list })).getAllByRole('listitem');
const button = (name: string | RegExp): HTMLElement => screen.getByRole('button', { name });
const section = (title: string): HTMLElement =>
  screen.getByRole('region', { name: new RegExp(`^${title}`) });

beforeEach(() => {
  localStorage.clear();
});
afterEach(() => {
  vi.restoreAllMocks();
});

describe('jobs', () => {
  it('follow the topic: first all, then changes, then removals', async () => {
    const backend = new PanelBackend();
    await open(backend);
    const ended = job({ id: 'b', name: 'bert', state: 'succeeded', created_at: before(1) });
    tellJobs(backend, [ended, job()]);
    expect(rowsOf('Jobs').map(row => row.textContent)).toEqual([
      expect.stringContaining('resnet-lr3e-4'),
      expect.stringContaining('bert')
    ]);
    tellJobs(backend, [job({ state: 'failed' })], { reset: false });
    expect(rowsOf('Jobs')[1]?.textContent).toContain('failed');
    tellJobs(backend, [], { reset: false, removed: ['b'] });
    expect(rowsOf('Jobs')).toHaveLength(1);
  });

  it('are only drawn as far as they are seen, however many there are', async () => {
    pretendHeights();
    const backend = new PanelBackend();
    await open(backend);
    tellJobs(
      backend,
      Array.from({ length: 5000 }, (_, n) => job({ id: `j${String(n)}`, created_at: before(n) }))
    );
    const rows = rowsOf('Jobs');
    expect(rows.length).toBeGreaterThan(5);
    expect(rows.length).toBeLessThan(40);
    expect(rows[0]?.getAttribute('aria-setsize')).toBe('5000');
    const user = userEvent.setup();
    rows[0]?.querySelector('button')?.focus();
    await user.keyboard('{End}');
    expect(document.activeElement?.closest('li')?.getAttribute('aria-posinset')).toBe('5000');
    await user.keyboard('{Home}{ArrowDown}');
    expect(document.activeElement?.closest('li')?.getAttribute('aria-posinset')).toBe('2');
  });

  it('can be filtered by name, id and state once they are many', async () => {
    const backend = new PanelBackend();
    await open(backend);
    tellJobs(backend, [job()]);
    expect(screen.queryByLabelText('Filter jobs')).toBeNull();
    tellJobs(backend, [
      ...Array.from({ length: 9 }, (_, n) =>
        job({ id: `x${String(n)}`, name: `run-${String(n)}` })
      ),
      job({ id: 'odd', name: 'other', state: 'capped' })
    ]);
    const user = userEvent.setup();
    await user.type(screen.getByLabelText('Filter jobs'), 'CAPPED');
    expect(rowsOf('Jobs')).toHaveLength(1);
    await user.clear(screen.getByLabelText('Filter jobs'));
    await user.type(screen.getByLabelText('Filter jobs'), 'run-3');
    expect(rowsOf('Jobs')[0]?.textContent).toContain('run-3');
    await user.type(screen.getByLabelText('Filter jobs'), 'zzz');
    expect(screen.getByText(/No job has this/)).toBeTruthy();
  });

  it('open where the page can, else in place', async () => {
    const backend = new PanelBackend();
    const opened: JobDocument[] = [];
    await open(backend, { openJob: each => opened.push(each) });
    tellJobs(backend, [job()]);
    const user = userEvent.setup();
    const main = rowsOf('Jobs')[0]?.querySelector('button');
    main?.focus();
    await user.keyboard('{Enter}');
    expect(opened.map(each => each.id)).toEqual([job().id]);
    expect(screen.queryByTestId('card')).toBeNull();
  });

  it('open in place and close again', async () => {
    const backend = new PanelBackend();
    await open(backend);
    tellJobs(backend, [job()]);
    const main = button(/^running/);
    const user = userEvent.setup();
    expect(main.getAttribute('aria-expanded')).toBe('false');
    await user.click(main);
    expect(screen.getByTestId('card').textContent).toBe(job().id);
    await user.click(main);
    expect(screen.queryByTestId('card')).toBeNull();
  });

  it('stop after one question, at once in sight, and go back when it fails', async () => {
    let refuse: (error: Error) => void = () => undefined;
    const backend = new PanelBackend(
      {},
      {
        cancel: () =>
          new Promise((_, reject) => {
            refuse = reject;
          })
      }
    );
    await open(backend);
    tellJobs(backend, [job()]);
    const user = userEvent.setup();
    button(/^running/).focus();
    await user.keyboard('{Delete}');
    const asked = screen.getByRole('alertdialog', { name: 'Stop resnet-lr3e-4?' });
    expect(asked.textContent).toContain('since its last checkpoint');
    await user.keyboard('{Escape}');
    expect(screen.queryByRole('alertdialog')).toBeNull();
    expect(document.activeElement).toBe(button(/^running/));
    expect(backend.done).toEqual([]);

    await user.keyboard('{Delete}{Enter}');
    expect(backend.done).toEqual([{ action: 'cancel', params: { job: job().id } }]);
    expect(rowsOf('Jobs')[0]?.textContent).toContain('stopping · ');
    await act(async () => {
      refuse(new BackendError({ error: 'x', what: 'AWS refused.', to_resolve: 'Sign in again.' }));
      await Promise.resolve();
    });
    expect(rowsOf('Jobs')[0]?.textContent).toContain('running · ');
    expect(screen.getByRole('alert').textContent).toContain('AWS refused.Sign in again.');
    await user.click(button('Dismiss'));
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it('have a menu by key with the verbs of the magic', async () => {
    const codes: string[] = [];
    const backend = new PanelBackend();
    await open(backend, { insertCell: code => codes.push(code) });
    tellJobs(backend, [job(), job({ id: 'end', state: 'interrupted', checkpoint_count: 2 })]);
    const user = userEvent.setup();
    button(/^running/).focus();
    await user.keyboard('{Shift>}{F10}{/Shift}');
    const labels = (): (string | null)[] =>
      within(screen.getByRole('menu'))
        .getAllByRole('menuitem')
        .map(each => each.textContent);
    expect(labels()).toEqual([
      'Open',
      'Show checkpoints',
      'Insert code',
      'Stop…',
      'Copy as %runctl',
      'Copy id'
    ]);
    await user.click(screen.getByRole('menuitem', { name: 'Insert code' }));
    expect(codes).toEqual([`%runctl attach ${job().id}`]);
    button(/^interrupted/).focus();
    await user.keyboard('{Shift>}{F10}{/Shift}');
    expect(labels()).toContain('Resume');
    expect(labels()).not.toContain('Stop…');
  });

  it('teach when there are none, and insert or copy the line', async () => {
    const codes: string[] = [];
    const backend = new PanelBackend();
    await open(backend, { insertCell: code => codes.push(code) });
    expect(within(section('Jobs')).getByText('Loading')).toBeTruthy();
    tellJobs(backend, []);
    expect(section('Jobs').textContent).toContain('No jobs yet. Put %%runctl train over a cell');
    await userEvent.setup().click(within(section('Jobs')).getByRole('button', { name: 'Insert' }));
    expect(codes).toEqual(['%%runctl train\n']);
  });

  it('are text, whatever their names are', async () => {
    const backend = new PanelBackend();
    await open(backend);
    tellJobs(backend, [job({ name: '<img src=x onerror=alert(1)>' })]);
    expect(document.querySelector('img')).toBeNull();
    expect(rowsOf('Jobs')[0]?.textContent).toContain('<img src=x onerror=alert(1)>');
  });
});

describe('machines', () => {
  const busy = instance({ jobs: [{ id: job().id, name: 'resnet-lr3e-4' }] });

  it('terminate after one question; the answer shows at once', async () => {
    let agree: (result: { instance: InstanceDocument }) => void = () => undefined;
    const backend = new PanelBackend(
      {},
      {
        terminate: () =>
          new Promise(resolve => {
            agree = resolve;
          })
      }
    );
    await open(backend);
    tellJobs(backend, [job()]);
    tellMachines(backend, [busy]);
    const user = userEvent.setup();
    rowsOf('Instances')[0]?.querySelector('button')?.focus();
    await user.keyboard('{Delete}');
    expect(screen.getByRole('alertdialog').textContent).toContain(
      'Lost: its disk; the job resnet-lr3e-4 that runs on it'
    );
    await user.click(button('Terminate'));
    expect(backend.done).toEqual([
      { action: 'terminate', params: { instance: busy.id, force: true } }
    ]);
    expect(rowsOf('Instances')[0]?.textContent).toContain('terminating · ');
    await act(async () => {
      agree({ instance: { ...busy, state: 'shutting-down' } });
      await Promise.resolve();
    });
    expect(rowsOf('Instances')[0]?.textContent).toContain('shutting-down · ');
    expect(screen.queryByRole('alertdialog')).toBeNull();
    // It was seen to end: it stays a while, and the head counts only what is.
    tellMachines(backend, [{ ...busy, state: 'terminated', jobs: [] }], { reset: false });
    expect(rowsOf('Instances')).toHaveLength(1);
    expect(button(/^Instances/).textContent).toContain('0');
  });

  it('start without a question, and say in their row why they do not', async () => {
    const backend = new PanelBackend(
      {},
      {
        start: () => {
          throw new BackendError({ error: 'x', what: 'No capacity.', to_resolve: 'Wait.' });
        }
      }
    );
    await open(backend);
    tellMachines(backend, [instance({ state: 'stopped' })]);
    const user = userEvent.setup();
    await user.click(button(/^stopped/));
    await user.click(button('Start'));
    expect(backend.done).toEqual([{ action: 'start', params: { instance: instance().id } }]);
    await waitFor(() => {
      expect(within(section('Instances')).getByRole('alert').textContent).toContain('No capacity.');
    });
    expect(rowsOf('Instances')[0]?.textContent).toContain('stopped · ');
  });

  it('that were gone before one looked hide behind a button', async () => {
    const backend = new PanelBackend();
    await open(backend);
    tellMachines(backend, [instance(), instance({ id: 'gone', name: 'old', state: 'terminated' })]);
    expect(rowsOf('Instances')).toHaveLength(1);
    await userEvent.setup().click(button('Show 1 ended'));
    expect(rowsOf('Instances')).toHaveLength(2);
  });

  it('are only drawn as far as they are seen', async () => {
    pretendHeights();
    const backend = new PanelBackend();
    await open(backend);
    tellMachines(
      backend,
      Array.from({ length: 1000 }, (_, n) => instance({ id: `i-${String(n)}` }))
    );
    expect(rowsOf('Instances').length).toBeLessThan(40);
    expect(button(/^Instances/).textContent).toContain('1,000');
  });
});

describe('the panel', () => {
  it('keeps stale rows and says how old they are', async () => {
    const backend = new PanelBackend();
    await open(backend);
    tellJobs(backend, [job()]);
    act(() => {
      backend.status({
        live: false,
        trouble: { error: 'credentials-missing', what: 'Expired.', to_resolve: 'Sign in.' }
      });
    });
    // Told once, though three topics have it.
    expect(screen.getAllByRole('alert')).toHaveLength(1);
    expect(screen.getByRole('alert').textContent).toMatch(/Expired\.Sign in\..*ago; trying again/);
    expect(rowsOf('Jobs')).toHaveLength(1);
    expect(section('Instances').textContent).not.toContain('No machine runs');
    act(() => {
      backend.status({ live: true, trouble: null });
    });
    expect(screen.queryByRole('alert')).toBeNull();
  });

  it('is calm about a sandbox that does not run', async () => {
    const trouble = {
      error: 'target-unavailable',
      what: 'The sandbox is not running.',
      to_resolve: 'It starts with the first job.'
    };
    const backend = new PanelBackend({
      place: () => {
        throw new BackendError(trouble);
      }
    });
    await open(backend);
    act(() => {
      backend.status({ live: false, trouble });
    });
    expect(screen.queryByRole('alert')).toBeNull();
    expect(screen.getByText('The sandbox is not running.')).toBeTruthy();
    expect(section('Jobs').textContent).toContain('No jobs yet');
  });

  it('tells a trouble of one topic where it is', async () => {
    const backend = new PanelBackend();
    await open(backend);
    tellJobs(backend, [job()]);
    tellMachines(backend, []);
    const told = vi.fn();
    backend.subscribe('costs', {}, told);
    tellCosts(backend, { jobs: [{ id: job().id, name: 'resnet', cost_usd: 4, ended: false }] });
    expect(told).toHaveBeenCalled();
    const user = userEvent.setup();
    await user.click(button(/^Costs/));
    expect(section('Costs').textContent).toContain('Per hour now$1.376/h');
    expect(section('Costs').textContent).toContain('estimate at list prices');
    await user.click(within(section('Costs')).getByRole('button', { name: 'resnet' }));
    expect(screen.getByTestId('card').textContent).toBe(job().id);
  });

  it('remembers what is folded, and sums up in its foot', async () => {
    const backend = new PanelBackend();
    await open(backend);
    tellMachines(backend, [instance(), instance({ id: 'b', price_per_hour: 0.37 })]);
    tellCosts(backend);
    expect(screen.getByRole('contentinfo').textContent).toBe('2 machines · $1.376/htoday $4.58');
    await userEvent.setup().click(button(/^Jobs/));
    expect(button(/^Jobs/).getAttribute('aria-expanded')).toBe('false');
    expect(localStorage.getItem('runctl-jupyter:panel:jobs')).toBe('false');
  });

  it('works where the browser gives it no storage', async () => {
    vi.spyOn(Storage.prototype, 'getItem').mockImplementation(() => {
      throw new DOMException('no storage', 'SecurityError');
    });
    vi.spyOn(Storage.prototype, 'setItem').mockImplementation(() => {
      throw new DOMException('no storage', 'SecurityError');
    });
    await open(new PanelBackend());
    await userEvent.setup().click(button(/^Jobs/));
    expect(button(/^Jobs/).getAttribute('aria-expanded')).toBe('false');
  });

  it('offers other places only where one can go there', async () => {
    const places = [
      { id: 'a', target: 'aws', region: 'us-east-1', bucket: 'lab-runs' },
      { id: 'b', target: 'sandbox', region: 'us-east-1', bucket: null }
    ];
    const chosen: string[] = [];
    await open(
      new PanelBackend({ places: () => ({ places }) }),
      {},
      { onPlace: id => chosen.push(id) }
    );
    const select = await screen.findByLabelText('Place');
    expect((select as HTMLSelectElement).value).toBe('a');
    await userEvent.setup().selectOptions(select, 'b');
    expect(chosen).toEqual(['b']);
  });

  it('has nothing that axe finds serious', async () => {
    const backend = new PanelBackend();
    await open(backend, { insertCell: () => undefined });
    tellJobs(backend, [job(), job({ id: 'b', state: 'failed' })]);
    tellMachines(backend, [instance(), instance({ id: 'x', state: 'stopped' })]);
    tellCosts(backend, { jobs: [{ id: job().id, name: 'resnet', cost_usd: 4, ended: false }] });
    const user = userEvent.setup();
    for (const title of [/^Costs/, /^Launch/, /^stopped/]) {
      await user.click(button(title));
    }
    await user.click(button('Terminate…'));
    await user.click(button('Add a parameter'));
    await user.click(button('Range'));
    const found = await axe.run(document.body, {
      rules: { 'color-contrast': { enabled: false }, region: { enabled: false } }
    });
    expect(found.violations.map(each => `${each.id}: ${each.nodes[0]?.html ?? ''}`)).toEqual([]);
  });
});
