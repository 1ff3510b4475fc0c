import { act, fireEvent, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { BackendError } from '../src/api/backend';
import type { ObjectPage } from '../src/api/documents';
import { PanelBackend, ROOT, open, pretendHeights, scrolled, tellJobs } from './panelScreen';
import { before, checkpoint, job } from './samples';

vi.mock('../src/card/JobCard', () => import('./cardStandIn'));
vi.setConfig({ testTimeout: 30_000 });

const FOLDER = `${ROOT}jobs/${job().id}/checkpoints/`;

beforeEach(() => {
  localStorage.clear();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** A bucket of one folder and 450 objects. */
function page({
  uri,
  token,
  filter
}: {
  uri: string;
  token?: string;
  filter?: string;
}): ObjectPage {
  const start = Number(token ?? 0);
  const names = Array.from({ length: 450 }, (_, n) => `object-${String(n)}`)
    .filter(name => name.startsWith(filter ?? ''))
    .slice(start, start + 200);
  return {
    uri,
    prefixes:
      token === undefined && filter === undefined ? [{ name: 'data/', uri: `${uri}data/` }] : [],
    objects: names.map(name => ({
      name,
      uri: `${uri}${name}`,
      size: 2048,
      last_modified: before(60)
    })),
    next: start + 200 < 450 && filter === undefined ? String(start + 200) : null
  };
}

const size = (): string | null =>
  within(screen.getByRole('list', { name: 'Objects' }))
    .getAllByRole('listitem')[0]
    ?.getAttribute('aria-setsize') ?? null;
const button = (name: string | RegExp): HTMLElement => screen.getByRole('button', { name });
const asked = (backend: PanelBackend): unknown[] =>
  backend.asked.filter(each => each.method === 'objects').map(each => each.params);

describe('the browser', () => {
  it('reads page by page, by button and by scrolling, to the end', async () => {
    pretendHeights();
    const backend = new PanelBackend({ objects: page });
    await open(backend);
    await screen.findByRole('list', { name: 'Objects' });
    expect(asked(backend)).toEqual([{ uri: ROOT, limit: 200 }]);
    expect(size()).toBe('201');
    await userEvent.setup().click(button('Load more'));
    await waitFor(() => {
      expect(size()).toBe('401');
    });
    const scroller = screen.getByRole('list', { name: 'Objects' }).parentElement;
    fireEvent.scroll(scroller ?? document.body);
    await waitFor(() => {
      expect(size()).toBe('451');
    });
    expect(asked(backend).at(-1)).toEqual({ uri: ROOT, limit: 200, token: '400' });
    expect(screen.queryByRole('button', { name: 'Load more' })).toBeNull();
  });

  it('filters on the other side, and gives up what it no longer wants', async () => {
    const waiting: ((result: ObjectPage) => void)[] = [];
    const backend = new PanelBackend({
      objects: params =>
        params.filter === undefined
          ? page(params)
          : params.filter === 'obj'
            ? new Promise(resolve => {
                waiting.push(resolve);
              })
            : page(params)
    });
    await open(backend);
    await screen.findByRole('list', { name: 'Objects' });
    const user = userEvent.setup();
    const box = screen.getByLabelText('Filter by beginning of name');
    await user.type(box, 'obj');
    await waitFor(() => {
      expect(waiting).toHaveLength(1);
    });
    await user.type(box, 'ect-44');
    await waitFor(() => {
      expect(size()).toBe('11');
    });
    const stale = backend.signals.filter(each => each.method === 'objects').at(-2);
    expect(stale?.signal?.aborted).toBe(true);
    await act(async () => {
      waiting[0]?.({ uri: ROOT, prefixes: [], objects: [], next: null });
      await Promise.resolve();
    });
    expect(size()).toBe('11');
    expect(asked(backend).at(-1)).toEqual({ uri: ROOT, limit: 200, filter: 'object-44' });
  });

  it('goes down by key, up by crumb, and anywhere by address', async () => {
    const backend = new PanelBackend({
      objects: ({ uri }) => ({
        uri,
        prefixes: [{ name: 'data/', uri: `${uri}data/` }],
        objects: [],
        next: null
      })
    });
    await open(backend);
    const user = userEvent.setup();
    (await screen.findByRole('button', { name: /^data\// })).focus();
    await user.keyboard('{Enter}');
    await waitFor(() => {
      expect(document.activeElement?.closest('ul')?.getAttribute('aria-label')).toBe('Objects');
      expect(asked(backend)).toHaveLength(2);
    });
    expect(button('data').getAttribute('aria-current')).toBe('location');
    await user.click(button('runctl'));
    await user.click(button('Go to…'));
    await user.clear(screen.getByLabelText('Address'));
    await user.type(screen.getByLabelText('Address'), 's3://other/place{Enter}');
    await waitFor(() => {
      expect(asked(backend).at(-1)).toEqual({ uri: 's3://other/place/', limit: 200 });
    });
  });

  it('looks inside in place, as text', async () => {
    const backend = new PanelBackend({
      objects: page,
      preview: ({ uri }) => ({
        uri,
        size: 2048,
        kind: 'text',
        text: '<b>bold</b>',
        truncated: true,
        facts: [['Kind', 'text']]
      })
    });
    pretendHeights();
    await open(backend);
    const user = userEvent.setup();
    await screen.findByRole('list', { name: 'Objects' });
    const main = screen.getByText('object-1', { selector: '.rc-hidden' }).closest('button');
    await user.click(main ?? document.body);
    const inside = await screen.findByRole('group', { name: 'Inside object-1' });
    await waitFor(() => {
      expect(inside.textContent).toContain('<b>bold</b>');
    });
    expect(inside.querySelector('b')).toBeNull();
    await user.click(within(inside).getByRole('button', { name: 'Close' }));
    expect(screen.queryByRole('group', { name: 'Inside object-1' })).toBeNull();
  });

  it('says where a copy went, and why there is none', async () => {
    let fails = false;
    const backend = new PanelBackend(
      {
        objects: ({ uri }) => ({
          uri,
          prefixes: [],
          objects: [{ name: 'a.json', uri: `${uri}a.json`, size: 3, last_modified: before(1) }],
          next: null
        })
      },
      {
        download: () => {
          if (fails) {
            throw new BackendError({ error: 'x', what: 'Disk is full.', to_resolve: 'Tidy up.' });
          }
          return { path: 'downloads/a.json', size: 98_400_000 };
        }
      }
    );
    await open(backend);
    const user = userEvent.setup();
    const copy = async (): Promise<void> => {
      await user.click(await screen.findByLabelText('Actions for a.json'));
      await user.click(screen.getByRole('menuitem', { name: 'Copy to where Python runs' }));
    };
    await copy();
    expect(await screen.findByText('98.4 MB are in downloads/a.json')).toBeTruthy();
    fails = true;
    await copy();
    expect((await screen.findByRole('alert')).textContent).toContain('Disk is full.');
  });

  it('says what failed and tries again', async () => {
    let fails = true;
    const backend = new PanelBackend({
      objects: params => {
        if (fails) {
          throw new BackendError({ error: 'x', what: 'Access denied.', to_resolve: 'Ask.' });
        }
        return page(params);
      }
    });
    pretendHeights();
    await open(backend);
    expect((await screen.findByRole('alert')).textContent).toContain('Access denied.');
    fails = false;
    await userEvent.setup().click(button('Try again'));
    expect(await screen.findByRole('list', { name: 'Objects' })).toBeTruthy();
  });

  it('has no bucket to look into on target local', async () => {
    const backend = new PanelBackend({
      place: () => ({
        target: 'local',
        region: null,
        bucket: null,
        root: null,
        identity: null,
        user: 'ada',
        mode: null
      })
    });
    await open(backend);
    expect(screen.getByText(/there is no bucket/)).toBeTruthy();
  });
});

describe("a job's checkpoints", () => {
  const ended = job({ state: 'interrupted', checkpoint_count: 3 });
  const three = (): { checkpoints: ReturnType<typeof checkpoint>[] } => ({
    checkpoints: [0, 1, 9].map(seq => checkpoint(seq))
  });

  it('stand above the objects, the newest first, with what they are worth', async () => {
    const backend = new PanelBackend({ checkpoints: three });
    await open(backend, {}, { objectsUri: FOLDER });
    tellJobs(backend, [ended]);
    const list = await screen.findByRole('list', { name: `Checkpoints of ${ended.name}` });
    const rows = within(list).getAllByRole('listitem');
    expect(rows.map(row => row.querySelector('.rc-hidden')?.textContent)).toEqual([
      'step_6100.safetensors',
      'step_1220.safetensors',
      'step_610.safetensors'
    ]);
    expect(rows[0]?.textContent).toContain('latest, best val_loss');
    expect(rows[0]?.textContent).toContain('val_loss 0.45 · 98.4 MB');
  });

  it('resume, fork and load', async () => {
    const codes: string[] = [];
    const backend = new PanelBackend(
      { checkpoints: three },
      { resume: () => ({ job: { ...ended, state: 'queued', attempt: 3 } }) }
    );
    await open(backend, { insertCell: code => codes.push(code) }, { objectsUri: FOLDER });
    tellJobs(backend, [ended]);
    const user = userEvent.setup();
    const choose = async (item: string): Promise<void> => {
      await user.click(await screen.findByLabelText('Actions for step_6100.safetensors'));
      await user.click(screen.getByRole('menuitem', { name: item }));
    };
    const { uri } = checkpoint(9);
    await choose('Load into a variable');
    expect(codes[0]).toContain(`%runctl s3 download ${uri} .\nfrom safetensors.torch`);
    await choose('Fork: a new job from here');
    expect(codes[1]).toBe(`%%runctl train --resume ${uri}\n`);
    await choose('Resume from here');
    expect(backend.done).toEqual([
      { action: 'resume', params: { job: ended.id, checkpoint: uri } }
    ]);
    expect(await screen.findByText(`${ended.name} goes on as attempt 3.`)).toBeTruthy();
    expect(screen.getByTestId('card').textContent).toBe(ended.id);
  });

  it('come into view when something asks for them', async () => {
    localStorage.setItem('runctl-jupyter:panel:checkpoints', 'false');
    const backend = new PanelBackend({ checkpoints: three });
    const show = await open(backend);
    expect(asked(backend)).toEqual([]);
    show({ objectsUri: FOLDER });
    await waitFor(() => {
      expect(asked(backend).at(-1)).toEqual({ uri: FOLDER, limit: 200 });
    });
    expect(scrolled).toHaveBeenCalled();
  });
});
