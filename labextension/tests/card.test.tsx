import { act, screen, waitFor, within } from '@testing-library/react';
import axe from 'axe-core';
import { beforeEach, describe, expect, test, vi } from 'vitest';

import type { Actions } from '../src/api/backend';
import { BackendError } from '../src/api/backend';
import type { JobDocument, JobState } from '../src/api/documents';
import { SnapshotBackend, endedCard, open, say } from './cardScreen';
import { FakeBackend } from './fakeBackend';
import { NOW, before, card, checkpoint, job } from './samples';

vi.mock('../src/log/LogView', () => import('./cardParts'));
vi.mock('../src/chart/Metrics', () => import('./cardParts'));
vi.mock('../src/chart/MachineChart', () => import('./cardParts'));

const button = (name: string | RegExp): HTMLElement => screen.getByRole('button', { name });
const factOf = (title: string): string =>
  screen.getByText(title, { selector: 'dt' }).nextElementSibling?.textContent ?? '';

// axe-core and roles over a whole card take a while on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

beforeEach(() => {
  vi.spyOn(Date, 'now').mockReturnValue(NOW);
});

describe('what it shows', () => {
  test('a running job: state, name, facts, phases, progress', () => {
    const backend = new FakeBackend();
    open(backend);
    say(backend, card());
    expect(screen.getByText('running')).toBeTruthy();
    expect(screen.getByText('job 7k2f · attempt 2')).toBeTruthy();
    expect(factOf('Machine')).toBe('g5.xlarge spot · us-east-1');
    expect(factOf('Elapsed')).toBe('1 h 12 m');
    expect(factOf('Cost')).toBe('$0.44 of $5.00 cap');
    expect(factOf('Ends at the latest')).toMatch(/in 6 h 48 m$/);
    expect(factOf('GPU')).toBe('93 % · 18.1 of 22.4 GB');
    const phases = within(screen.getByRole('list', { name: 'Phases' })).getAllByRole('listitem');
    expect(phases.map(each => each.textContent)).toEqual([
      'capacity2 s',
      'boot24 s',
      'environment11 s',
      'data38 s',
      'training· step 6,100 of 10,000, about 46 m left'
    ]);
    expect(screen.getByRole('progressbar').getAttribute('aria-valuenow')).toBe('61');
  });

  test('a machine without GPU, and this computer', () => {
    const backend = new FakeBackend();
    open(backend);
    const machine = job().machine;
    say(
      backend,
      card({
        job: job({
          target: 'local',
          cost_usd: null,
          price_per_hour: null,
          machine: machine === null ? null : { ...machine, gpus: [] }
        })
      })
    );
    expect(factOf('Machine')).toBe('this computer');
    expect(factOf('CPU · memory')).toBe('3.1 cores · 9.1 of 16.0 GB');
    expect(screen.queryByText('Cost')).toBeNull();
  });

  test('code and environment are one phase, and a slow one says why', () => {
    const backend = new FakeBackend();
    open(backend);
    say(
      backend,
      card({
        job: job({
          state: 'starting',
          progress: null,
          phases: [
            { name: 'code', began_at: before(100), ended_at: before(95), detail: '' },
            { name: 'environment', began_at: before(95), ended_at: null, detail: 'torch 2.4.1' }
          ]
        })
      })
    );
    const phases = within(screen.getByRole('list', { name: 'Phases' })).getAllByRole('listitem');
    expect(phases.map(each => each.textContent)).toEqual(['environment1 m 40 s', 'training']);
    expect(
      screen.getByText('environment takes longer than the usual 1 m: torch 2.4.1')
    ).toBeTruthy();
  });

  test('markup in names, logs and causes stays text', () => {
    const evil = '<img src=x onerror=alert(1)>';
    const backend = new SnapshotBackend();
    const { container } = open(backend, {
      snapshot: endedCard(
        { name: evil, state: 'failed', cause: { kind: 'exit', message: evil, signal: null } },
        { log_tail: [evil], note: evil }
      )
    });
    expect(container.querySelector('img')).toBeNull();
    expect(screen.getAllByText(evil).length).toBeGreaterThanOrEqual(2);
  });

  test('long names are cut in the middle, with the whole in the title', () => {
    const name = `first-${'x'.repeat(80)}-last`;
    const backend = new FakeBackend();
    open(backend);
    say(backend, card({ job: job({ name }) }));
    const shown = screen.getByTitle(name);
    expect(shown.textContent).toMatch(/^first-x+…x+-last$/);
    expect(shown.textContent.length).toBeLessThan(40);
  });

  test('earlier attempts are told', () => {
    const backend = new FakeBackend();
    open(backend);
    say(backend, card());
    expect(screen.getByText('1 earlier attempt')).toBeTruthy();
    expect(screen.getByText('AWS takes the spot machine back')).toBeTruthy();
  });
});

describe('how alive it is', () => {
  test('skeleton, then the job; it follows the card and stops when it goes', () => {
    const backend = new FakeBackend();
    const { container } = open(backend);
    expect(container.querySelectorAll('.rc-Skeleton').length).toBeGreaterThan(0);
    say(backend, card());
    expect(container.querySelector('.rc-Skeleton')).toBeNull();
    expect(backend.followed).toContain('card');
  });

  test('a snapshot says how old it is until live data comes, and its clock stands', () => {
    const backend = new FakeBackend();
    open(backend, { snapshot: card({ as_of: before(180) }) });
    expect(screen.getByText(/^as of \d\d:\d\d, 3 m ago$/)).toBeTruthy();
    expect(factOf('Elapsed')).toBe('1 h 09 m');
    say(backend, card());
    expect(screen.queryByText(/as of/)).toBeNull();
    expect(factOf('Elapsed')).toBe('1 h 12 m');
  });

  test('trouble is one line, and what was known stays', () => {
    const backend = new FakeBackend();
    open(backend);
    say(backend, card());
    act(() => {
      backend.status({
        live: false,
        trouble: { error: 'x', what: 'The token has expired.', to_resolve: 'Sign in.' }
      });
    });
    expect(
      screen.getByText(/^not live, as of .*; trying again\. The token has expired\. Sign in\.$/)
    ).toBeTruthy();
    expect(screen.getByText('resnet-lr3e-4')).toBeTruthy();
    say(backend, card());
    expect(screen.queryByText(/not live/)).toBeNull();
  });

  test('trouble before anything is known is an error', () => {
    const backend = new FakeBackend();
    open(backend);
    act(() => {
      backend.status({
        live: false,
        trouble: { error: 'job-not-found', what: 'There is no such job.', to_resolve: 'See jobs.' }
      });
    });
    expect(screen.getByRole('alert').textContent).toContain('There is no such job.');
  });

  test('a saved view asks nobody and offers nothing that needs somebody', () => {
    const backend = new SnapshotBackend();
    open(backend, { snapshot: card() });
    expect(screen.getByText(/^Saved view of .* to see it live\.$/)).toBeTruthy();
    expect(screen.queryByRole('button', { name: 'Stop…' })).toBeNull();
    expect(screen.getByRole('log').textContent).toContain('step 6100');
    expect(backend.followed).toEqual([]);
    expect(backend.asked).toEqual([]);
  });
});

describe('what can be done', () => {
  const PRIMARY: [JobState, string | null][] = [
    ['queued', 'Stop…'],
    ['starting', 'Stop…'],
    ['running', 'Stop…'],
    ['succeeded', null],
    ['failed', 'Show error'],
    ['cancelled', 'Resume'],
    ['interrupted', 'Resume'],
    ['capped', 'Resume'],
    ['lost', 'Resume']
  ];
  test.each(PRIMARY)('the primary action of %s is %s', (state, label) => {
    const backend = new FakeBackend();
    const { container } = open(backend);
    say(backend, label === 'Stop…' ? card({ job: job({ state }) }) : endedCard({ state }));
    expect(container.querySelector('.rc-Button-primary')?.textContent ?? null).toBe(label);
  });

  test('without a checkpoint it begins again', () => {
    const backend = new FakeBackend();
    open(backend);
    say(backend, endedCard({ state: 'lost', checkpoint_count: 0 }, { checkpoints: [] }));
    expect(button('Run again').title).toBe('from its beginning');
  });

  test('stopping asks in place, names loss and gain, and shows at once', async () => {
    let settle: (result: Actions['cancel']['result']) => void = () => undefined;
    const backend = new FakeBackend(
      {},
      {
        cancel: () =>
          new Promise(resolve => {
            settle = resolve;
          })
      }
    );
    const { user } = open(backend);
    const checkpoints = [checkpoint(8, { latest: true, created_at: before(120) })];
    say(backend, card({ checkpoints, job: job({ checkpoint_count: 1 }) }));
    await user.click(button('Stop…'));
    const question = screen.getByRole('alertdialog', { name: 'Stop resnet-lr3e-4?' });
    expect(question.textContent).toContain('checkpoint of step 5,490 (2 m ago, 610 steps)');
    expect(question.textContent).toContain('its log, 1 checkpoint and uploaded outputs, in S3');
    expect(backend.done).toEqual([]);
    await user.click(within(question).getByRole('button', { name: 'Stop' }));
    expect(backend.done).toEqual([{ action: 'cancel', params: { job: job().id } }]);
    expect(screen.getByText('stopping')).toBeTruthy();
    expect(document.activeElement).toBe(button('More actions'));
    // The record still says running: what was asked for stays in sight.
    say(backend, card());
    expect(screen.getByText('stopping')).toBeTruthy();
    act(() => {
      settle({ job: endedCard({ state: 'cancelled' }).job });
    });
    await screen.findByText('cancelled');
    expect(screen.queryByText('stopping')).toBeNull();
  });

  test('Escape keeps the job, and the focus comes back', async () => {
    const backend = new FakeBackend();
    const { user } = open(backend);
    say(backend, card());
    await user.click(button('Stop…'));
    await user.keyboard('{Escape}');
    expect(screen.queryByRole('alertdialog')).toBeNull();
    expect(document.activeElement).toBe(button('Stop…'));
    expect(backend.done).toEqual([]);
  });

  test('a refused stop is corrected and said', async () => {
    const backend = new FakeBackend(
      {},
      {
        cancel: () => {
          throw new BackendError({
            error: 'denied',
            what: 'You may not cancel it.',
            to_resolve: 'Ask ada.'
          });
        }
      }
    );
    const { user } = open(backend);
    say(backend, card());
    await user.click(button('Stop…'));
    await user.click(button('Stop'));
    expect((await screen.findByRole('alert')).textContent).toContain('You may not cancel it.');
    expect(screen.queryByText('stopping')).toBeNull();
    expect(screen.getByText('running')).toBeTruthy();
    await user.click(button('Dismiss'));
    expect(screen.queryByRole('alert')).toBeNull();
  });

  test('resuming shows the next attempt at once, and an old event does not undo it', async () => {
    const going: JobDocument = job({ state: 'queued', attempt: 3, phases: [] });
    const backend = new FakeBackend({}, { resume: () => ({ job: going }) });
    const { user } = open(backend);
    say(backend, endedCard({ state: 'interrupted' }));
    await user.click(button('Resume'));
    expect(await screen.findByText('job 7k2f · attempt 3')).toBeTruthy();
    say(backend, endedCard({ state: 'interrupted' }));
    expect(screen.getByText('queued')).toBeTruthy();
    expect(backend.done).toEqual([{ action: 'resume', params: { job: job().id } }]);
  });

  test('a failed job shows its error, and can go on from its last checkpoint', async () => {
    const backend = new FakeBackend({}, { resume: () => new Promise(() => undefined) });
    const { user } = open(backend);
    say(
      backend,
      endedCard({
        state: 'failed',
        exit_code: 1,
        cause: { kind: 'cuda-out-of-memory', message: 'CUDA out of memory', signal: null }
      })
    );
    expect(screen.getByText('CUDA out of memory (exit code 1)')).toBeTruthy();
    expect(screen.getByText(/a GPU with more memory/)).toBeTruthy();
    await user.click(button('Show error'));
    expect(screen.getByRole('tab', { name: 'Log' }).getAttribute('aria-selected')).toBe('true');
    expect(document.activeElement).toBe(screen.getByRole('log'));
    await user.click(button('Resume from step 6,100'));
    expect(screen.getByText('starting')).toBeTruthy();
  });

  test('the log is opened by the page where it can, else in the card', async () => {
    const openLog = vi.fn();
    const backend = new FakeBackend();
    const { user } = open(backend, { host: { openLog } });
    say(backend, card());
    await user.click(button('Open log'));
    expect(openLog).toHaveBeenCalledOnce();
    expect(screen.getByRole('tab', { name: 'Log' }).getAttribute('aria-selected')).toBe('false');
  });

  test('code is inserted where the page can', async () => {
    const insertCell = vi.fn();
    const backend = new FakeBackend();
    const { user } = open(backend, { host: { insertCell } });
    say(backend, card());
    await user.click(button('Insert code'));
    await user.click(screen.getByRole('menuitem', { name: 'Load the latest checkpoint' }));
    expect(insertCell).toHaveBeenCalledWith(
      `%runctl s3 download ${checkpoint(9).uri} .\n` +
        'from safetensors.torch import load_file\nstate = load_file("step_6100.safetensors")'
    );
  });

  test('else it is copied as a line of the grammar', async () => {
    const backend = new FakeBackend();
    const { user } = open(backend);
    say(backend, card());
    await user.click(button('Copy as %runctl'));
    await user.click(screen.getByRole('menuitem', { name: 'cancel 7k2f' }));
    await waitFor(async () => {
      expect(await navigator.clipboard.readText()).toBe(`%runctl cancel ${job().id}`);
    });
    expect(await screen.findByText(`Copied %runctl cancel ${job().id}`)).toBeTruthy();
  });

  test('the whole log is a link', async () => {
    const backend = new FakeBackend();
    const { user } = open(backend);
    say(backend, card());
    await user.click(button('More actions'));
    const link = screen.getByRole('menuitem', { name: 'Download log' });
    expect(link.getAttribute('href')).toBe(`/log?job=${job().id}`);
  });
});

describe('by keyboard', () => {
  test('menus: arrows, letters, Escape', async () => {
    const backend = new FakeBackend();
    const { user } = open(backend);
    say(backend, card());
    button('More actions').focus();
    await user.keyboard('{ArrowDown}');
    expect(document.activeElement?.textContent).toBe('Open log');
    await user.keyboard('{ArrowDown}');
    expect(document.activeElement?.textContent).toBe('Download log');
    await user.keyboard('{End}{Home}s');
    expect(document.activeElement?.textContent).toBe('Stop…');
    await user.keyboard('{Escape}');
    expect(screen.queryByRole('menu')).toBeNull();
    expect(document.activeElement).toBe(button('More actions'));
  });

  test('a second click on its button, or one elsewhere, closes a menu', async () => {
    const backend = new FakeBackend();
    const { user } = open(backend);
    say(backend, card());
    await user.click(button('More actions'));
    await user.click(button('More actions'));
    expect(screen.queryByRole('menu')).toBeNull();
    await user.click(button('More actions'));
    await user.click(screen.getByText('resnet-lr3e-4'));
    expect(screen.queryByRole('menu')).toBeNull();
  });

  test('the head has a context menu with the same actions', async () => {
    const backend = new FakeBackend();
    const { user } = open(backend);
    say(backend, card());
    await user.pointer({ keys: '[MouseRight]', target: screen.getByText('resnet-lr3e-4') });
    await user.click(screen.getByRole('menuitem', { name: 'Stop…' }));
    expect(screen.getByRole('alertdialog')).toBeTruthy();
  });

  test('tabs are one stop; arrows, Home and End select', async () => {
    const backend = new FakeBackend();
    const { user } = open(backend);
    say(backend, card());
    screen.getByText('1 earlier attempt').focus();
    const tabs = screen.getAllByRole('tab');
    expect(tabs.map(each => each.tabIndex)).toEqual([0, -1, -1, -1, -1]);
    tabs[0]?.focus();
    await user.keyboard('{ArrowRight}{ArrowRight}');
    expect(document.activeElement?.textContent).toContain('Checkpoints');
    expect(screen.getByRole('tabpanel', { name: /Checkpoints/ })).toBeTruthy();
    await user.keyboard('{Home}{ArrowLeft}');
    expect(document.activeElement?.textContent).toBe('Record');
  });

  test('Tab goes through the head in the order of reading', async () => {
    const backend = new FakeBackend();
    const { user } = open(backend);
    say(backend, card());
    const passed: string[] = [];
    for (let i = 0; i < 4; i += 1) {
      await user.tab();
      const at = document.activeElement;
      passed.push(at?.getAttribute('aria-label') ?? at?.textContent ?? '');
    }
    expect(passed).toEqual(['Open log', 'Copy as %runctl', 'Stop…', 'More actions']);
  });
});

describe('axe-core', () => {
  const PAGES: [string, () => ReturnType<typeof card>, string[]][] = [
    ['running', () => card(), []],
    ['running, asked', () => card(), ['Stop…']],
    ['running, menu', () => card(), ['More actions']],
    ['failed', () => endedCard({ state: 'failed' }), []],
    ['starting', () => card({ job: job({ state: 'starting', phases: [] }), checkpoints: [] }), []]
  ];
  test.each(PAGES)('finds nothing in %s', async (_, document_, presses) => {
    const backend = new FakeBackend();
    const { user, container } = open(backend);
    say(backend, document_());
    for (const press of presses) {
      await user.click(button(press));
    }
    const found = await axe.run(container, { rules: { 'color-contrast': { enabled: false } } });
    expect(found.violations.map(each => `${each.id}: ${each.help}`)).toEqual([]);
  });
});
