import { act, screen, waitFor, within } from '@testing-library/react';
import axe from 'axe-core';
import { beforeEach, describe, expect, test, vi } from 'vitest';

import type { UserEvent } from '@testing-library/user-event';
import type { CardDocument, CheckpointDocument } from '../src/api/documents';
import { bestOf } from '../src/card/best';
import { downloadLine, loadCode, wordOf } from '../src/ui/snippets';
import { SnapshotBackend, endedCard, open, say } from './cardScreen';
import { FakeBackend } from './fakeBackend';
import { NOW, before, card, checkpoint, job, series } from './samples';

vi.mock('../src/log/LogView', () => import('./cardParts'));
vi.mock('../src/chart/Metrics', () => import('./cardParts'));
vi.mock('../src/chart/MachineChart', () => import('./cardParts'));

// axe-core and roles over a whole card take a while on a busy machine.
vi.setConfig({ testTimeout: 30_000 });

beforeEach(() => {
  vi.spyOn(Date, 'now').mockReturnValue(NOW);
  // jsdom lays nothing out, so that it has nothing to scroll to.
  Element.prototype.scrollIntoView = vi.fn();
});

const choose = async (user: UserEvent, of: string, item: string): Promise<void> => {
  await user.click(screen.getByRole('button', { name: `Actions of ${of}` }));
  await user.click(screen.getByRole('menuitem', { name: item }));
};

async function openTab(
  backend: FakeBackend,
  document_: CardDocument,
  tab: string | RegExp,
  host = {}
): Promise<{ user: UserEvent; container: HTMLElement }> {
  const page = open(backend, { host, snapshot: document_ });
  if (backend.kind !== 'snapshot') {
    say(backend, document_);
  }
  await page.user.click(screen.getByRole('tab', { name: tab }));
  return page;
}

const rowNames = (): (string | null)[] =>
  screen
    .getAllByRole('row')
    .slice(1)
    .map(row => within(row).getAllByRole('cell')[0]?.textContent ?? null);

describe('the checkpoints of a job', () => {
  test('newest first, with the best by a metric that is named', async () => {
    const checkpoints = [
      checkpoint(0, { metrics: { val_loss: 0.3, lr: 1 }, latest: false }),
      checkpoint(1, { metrics: { val_loss: 0.5, lr: 0 }, latest: true })
    ];
    await openTab(
      new FakeBackend(),
      card({ checkpoints, job: job({ checkpoint_count: 2 }) }),
      /Checkpoints/
    );
    expect(rowNames()).toEqual(['step_1220.safetensorslatest', 'step_610.safetensorsbest']);
    expect(
      screen.getByText('2 checkpoints · 196.8 MB · best val_loss 0.3 at step 610')
    ).toBeTruthy();
    expect(screen.getByTitle('best val_loss')).toBeTruthy();
  });

  test('those that the card does not hold are asked for', async () => {
    const all = Array.from({ length: 250 }, (_, seq) => checkpoint(seq));
    const backend = new FakeBackend({ checkpoints: () => ({ checkpoints: all }) });
    const few = card({ checkpoints: all.slice(-10), job: job({ checkpoint_count: 250 }) });
    const { user, container } = await openTab(backend, few, /Checkpoints/);
    await user.click(await screen.findByText('Show 100 more of 250'));
    expect(container.querySelectorAll('tbody tr').length).toBe(200);
    await user.click(screen.getByText('Show 50 more of 250'));
    expect(container.querySelectorAll('tbody tr').length).toBe(250);
    expect(backend.asked.filter(each => each.method === 'checkpoints').length).toBe(1);
  });

  test('none: how a script saves one', async () => {
    await openTab(
      new FakeBackend(),
      card({ checkpoints: [], job: job({ checkpoint_count: 0 }) }),
      'Checkpoints'
    );
    expect(screen.getByText('RUNCTL_CHECKPOINT_DIR')).toBeTruthy();
    expect(screen.getByLabelText('Example').textContent).toContain('torch.save');
  });

  test('a point of the curve opens its checkpoint, and Escape closes it', async () => {
    const backend = new FakeBackend({
      preview: ({ uri }) => ({
        uri,
        size: 98_400_000,
        kind: 'tensors',
        text: 'fc.bias <img src=x onerror=alert(1)>',
        truncated: false,
        facts: [['tensors', '62']]
      })
    });
    const { user } = open(backend);
    say(backend, card());
    await user.click(screen.getByRole('button', { name: 'point 1220' }));
    const inside = screen.getByRole('group', { name: 'Inside step_1220.safetensors' });
    expect(await within(inside).findByText(/fc\.bias <img/)).toBeTruthy();
    expect(within(inside).getByText('62')).toBeTruthy();
    expect(backend.asked).toContainEqual({
      method: 'preview',
      params: { uri: checkpoint(1).uri }
    });
    within(inside).getByRole('button', { name: 'Close' }).focus();
    await user.keyboard('{Escape}');
    expect(screen.queryByRole('group', { name: /^Inside/ })).toBeNull();
    expect(document.activeElement?.textContent).toBe('step_1220.safetensors');
  });

  test('a folder is looked into like a file, and opened as a folder', async () => {
    const uri = 's3://bucket/runctl/jobs/j/checkpoints/1-00000/';
    const backend = new FakeBackend({
      preview: params => ({
        uri: params.uri,
        size: 10,
        kind: 'tensors' as const,
        text: 'encoder.weight  float32  [3]',
        truncated: false,
        facts: [['files', '3']]
      })
    });
    const openObjects = vi.fn();
    const checkpoints = [checkpoint(0, { name: 'checkpoint-500', uri })];
    const { user } = await openTab(backend, card({ checkpoints }), /Checkpoints/, { openObjects });
    await user.click(screen.getByRole('button', { name: 'checkpoint-500' }));
    const inside = screen.getByRole('group', { name: 'Inside checkpoint-500' });
    expect(await within(inside).findByText(/encoder\.weight/)).toBeTruthy();
    expect(backend.asked).toContainEqual({ method: 'preview', params: { uri } });
    expect(openObjects).not.toHaveBeenCalled();
    await choose(user, 'checkpoint-500', 'Open the folder');
    expect(openObjects).toHaveBeenCalledExactlyOnceWith(uri);
  });

  test('what cannot be read says so in place', async () => {
    const { user } = await openTab(new FakeBackend(), card(), /Checkpoints/);
    await user.click(screen.getByRole('button', { name: 'step_610.safetensors' }));
    expect((await screen.findByRole('alert')).textContent).toContain('Nobody answers preview.');
  });

  test('a row resumes an ended job, and only an ended one', async () => {
    const backend = new FakeBackend({}, { resume: () => new Promise(() => undefined) });
    const { user } = await openTab(backend, card(), /Checkpoints/);
    await user.click(screen.getByRole('button', { name: 'Actions of step_610.safetensors' }));
    expect(screen.queryByRole('menuitem', { name: 'Resume from here' })).toBeNull();
    await user.keyboard('{Escape}');
    say(backend, endedCard({ state: 'interrupted' }));
    await choose(user, 'step_610.safetensors', 'Resume from here');
    expect(backend.done).toEqual([
      { action: 'resume', params: { job: job().id, checkpoint: checkpoint(0).uri } }
    ]);
  });

  test('a row forks and loads by inserting code', async () => {
    const insertCell = vi.fn();
    const { user } = await openTab(new FakeBackend(), card(), /Checkpoints/, { insertCell });
    await choose(user, 'step_610.safetensors', 'Fork: a new job from here');
    expect(insertCell).toHaveBeenLastCalledWith(`%%runctl train --resume ${checkpoint(0).uri}\n`);
    await choose(user, 'step_610.safetensors', 'Load into a variable');
    expect(insertCell).toHaveBeenLastCalledWith(loadCode(checkpoint(0).uri));
  });

  test('downloads through the browser where there is an address', async () => {
    const { user } = await openTab(new FakeBackend(), card(), /Checkpoints/);
    await user.click(screen.getByRole('button', { name: 'Actions of step_610.safetensors' }));
    expect(screen.getByRole('menuitem', { name: 'Download' }).getAttribute('href')).toContain(
      encodeURIComponent(checkpoint(0).uri)
    );
  });

  test('else to where the kernel is, and says where', async () => {
    class Kernel extends FakeBackend {
      override downloadUrl(): null {
        return null;
      }
    }
    const size = 98_400_000;
    const backend = new Kernel({}, { download: () => ({ path: 'step_610.safetensors', size }) });
    const { user } = await openTab(backend, card(), /Checkpoints/);
    await choose(user, 'step_610.safetensors', 'Download');
    expect(await screen.findByText('Downloaded to step_610.safetensors (98.4 MB).')).toBeTruthy();
  });

  test('the context menu of a row is its menu', async () => {
    const { user } = await openTab(new FakeBackend(), card(), /Checkpoints/);
    await user.pointer({ keys: '[MouseRight]', target: screen.getByText('step_610.safetensors') });
    await user.click(screen.getByRole('menuitem', { name: 's3:// address' }));
    await waitFor(async () => {
      expect(await navigator.clipboard.readText()).toBe(checkpoint(0).uri);
    });
  });

  test('a saved view keeps rows, but nothing that asks', async () => {
    const { user } = await openTab(
      new SnapshotBackend(),
      endedCard({ state: 'lost' }),
      /Checkpoints/
    );
    await user.click(screen.getByRole('button', { name: 'Actions of step_610.safetensors' }));
    const items = screen.getAllByRole('menuitem').map(each => each.textContent);
    expect(items).toEqual(['s3:// address', '%runctl s3 download', '%runctl resume --from']);
  });

  test('axe-core finds nothing in table and inside', async () => {
    const { user, container } = await openTab(new FakeBackend(), card(), /Checkpoints/);
    await user.click(screen.getByRole('button', { name: 'step_610.safetensors' }));
    await screen.findByRole('alert');
    const found = await axe.run(container, { rules: { 'color-contrast': { enabled: false } } });
    expect(found.violations.map(each => `${each.id}: ${each.help}`)).toEqual([]);
  });
});

describe('machine and record', () => {
  test('the machine now, and its curves as they come', async () => {
    const backend = new FakeBackend();
    await openTab(backend, card({ series: null }), 'Machine');
    expect(screen.getByText('3.1 cores · 9.1 of 16.0 GB')).toBeTruthy();
    expect(screen.getByText('0 machine samples')).toBeTruthy();
    act(() => {
      backend.emit('series', series(50));
    });
    expect(screen.getByText('50 machine samples')).toBeTruthy();
  });

  test('the record, after trying again', async () => {
    let works = false;
    const backend = new FakeBackend({
      record: () => {
        if (!works) {
          throw new Error('The bucket does not answer.');
        }
        return { facts: [['commit', '4f1c2ab']], text: 'torch==2.4.1' };
      }
    });
    const { user } = await openTab(backend, card(), 'Record');
    expect((await screen.findByRole('alert')).textContent).toContain('The bucket does not answer.');
    works = true;
    await user.click(screen.getByRole('button', { name: 'Try again' }));
    expect(await screen.findByText('4f1c2ab')).toBeTruthy();
    expect(screen.getByText('torch==2.4.1')).toBeTruthy();
    expect(screen.queryByRole('alert')).toBeNull();
  });
});

describe('the best', () => {
  const of = (...metrics: Record<string, number>[]): CheckpointDocument[] =>
    metrics.map((each, seq) => checkpoint(seq, { metrics: each, created_at: before(seq) }));

  test.each([
    ['least loss', of({ loss: 3 }, { loss: 1 }, { loss: 2 }), 'loss', 1],
    ['most accuracy', of({ acc: 0.3 }, { acc: 0.9 }, { acc: 0.8 }), 'acc', 0.9],
    [
      'held-out before training',
      of({ loss: 1, val_loss: 3 }, { loss: 2, val_loss: 2 }),
      'val_loss',
      2
    ],
    ['the most common', of({ loss: 1, val_acc: 3 }, { loss: 2 }), 'loss', 1],
    ['no infinities', of({ loss: -Infinity }, { loss: 2 }, { loss: 4 }), 'loss', 2]
  ])('%s', (_, checkpoints, metric, value) => {
    expect(bestOf(checkpoints)).toMatchObject({ metric, value });
  });

  test('none of what has no direction, and none of one', () => {
    expect(bestOf(of({ lr: 1 }, { lr: 2 }))).toBeNull();
    expect(bestOf(of({ loss: 1 }))).toBeNull();
  });
});

describe('lines and code', () => {
  test('words are quoted', () => {
    expect(wordOf('s3://b/a.pt')).toBe('s3://b/a.pt');
    expect(wordOf("it's {x}.pt")).toBe(`'it'"'"'s {{x}}.pt'`);
  });

  test('folders are copied whole, and what loads is chosen by name', () => {
    expect(downloadLine('s3://b/ckpt/step_1/')).toBe(
      '%runctl s3 download -r s3://b/ckpt/step_1/ step_1'
    );
    expect(loadCode('s3://b/m.pt')).toContain(
      'torch.load("m.pt", map_location="cpu", weights_only=True)'
    );
    expect(loadCode('s3://b/m.npz')).toContain('allow_pickle=False');
    expect(loadCode('s3://b/m.unknown')).toBe('%runctl s3 download s3://b/m.unknown .');
  });
});
