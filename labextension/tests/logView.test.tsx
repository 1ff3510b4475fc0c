import { act, configure, render, screen, waitFor, within } from '@testing-library/react';
import userEvent from '@testing-library/user-event';
import axe from 'axe-core';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';

import { BackendError } from '../src/api/backend';
import { ConnectionContext } from '../src/api/context';
import type { LogPage } from '../src/api/documents';
import { LogView } from '../src/log/LogView';
import { FakeBackend } from './fakeBackend';
import { card, job } from './samples';

const HEIGHT = 360;

// Deadlines for a machine that is busy with other things.
configure({ asyncUtilTimeout: 15_000 });
vi.setConfig({ testTimeout: 60_000 });

beforeEach(() => {
  // jsdom draws nothing: it has to be told how high the view is.
  vi.spyOn(HTMLElement.prototype, 'clientHeight', 'get').mockReturnValue(HEIGHT);
  vi.spyOn(HTMLElement.prototype, 'clientWidth', 'get').mockReturnValue(640);
  vi.spyOn(HTMLElement.prototype, 'scrollHeight', 'get').mockImplementation(function (
    this: HTMLElement
  ) {
    const inner = this.firstElementChild;
    return inner instanceof HTMLElement ? Number.parseFloat(inner.style.height) || 0 : 0;
  });
  HTMLElement.prototype.scrollTo = function (this: HTMLElement, to?: unknown): void {
    this.scrollTop = (to as { top: number }).top;
    // As in a browser, the list hears of it a frame later.
    requestAnimationFrame(() => {
      act(() => {
        this.dispatchEvent(new Event('scroll'));
      });
    });
  };
});

afterEach(() => {
  vi.restoreAllMocks();
});

function page(text: string, changes: Partial<LogPage> = {}): LogPage {
  const size = new TextEncoder().encode(text).length;
  const time = '2026-11-24T14:02:11Z';
  const pieces =
    text === '' ? [] : [{ start: 0, end: size, time, origin: 'script' as const, text }];
  return { pieces, size, ended: false, ...changes };
}

function shown(backend: FakeBackend, ended?: boolean): HTMLElement {
  const props = ended === undefined ? {} : { ended };
  return render(
    <ConnectionContext.Provider value={{ backend, host: {} }}>
      <div className="rc-Root">
        <LogView job="j-1" height={400} {...props} />
      </div>
    </ConnectionContext.Provider>
  ).container;
}

function numbered(count: number): string {
  return Array.from({ length: count }, (_, i) => `line ${String(i)}\n`).join('');
}

function more(backend: FakeBackend, before: string, text: string): void {
  const start = before.length;
  const end = start + text.length;
  act(() => {
    backend.emit('log', {
      pieces: [{ start, end, time: null, origin: 'script', text }],
      size: end,
      ended: false
    });
  });
}

/** The person scrolls. */
function scroll(to: number): void {
  const log = screen.getByRole('log');
  act(() => {
    log.dispatchEvent(new Event('wheel', { bubbles: true }));
    log.scrollTop = to;
    log.dispatchEvent(new Event('scroll'));
  });
}

it('follows the end, stays when scrolled up and says what is new', async () => {
  const text = numbered(200);
  const backend = new FakeBackend({ log: () => page(text) });
  shown(backend);
  await screen.findByText('line 199');
  expect(screen.queryByText('line 20')).toBeNull();
  expect(screen.getByText('200 lines · 1.7 kB')).toBeTruthy();

  more(backend, text, 'line 200\nline 201\n');
  await screen.findByText('line 201');
  scroll(1000);
  await screen.findByRole('button', { name: 'paused' });
  more(backend, text + 'line 200\nline 201\n', 'line 202\n');
  await screen.findByRole('button', { name: 'paused, 1 new line' });
  expect(screen.queryByText('line 202')).toBeNull();

  await userEvent.click(screen.getByRole('button', { name: 'paused, 1 new line' }));
  await screen.findByText('line 202');
  expect(screen.getByRole('button', { name: 'following' })).toBeTruthy();
});

it('goes to the beginning and the end by keyboard', async () => {
  const backend = new FakeBackend({ log: () => page(numbered(500)) });
  shown(backend);
  await screen.findByText('line 499');
  screen.getByRole('log').focus();
  await userEvent.keyboard('{Home}');
  await screen.findByText('line 0');
  await userEvent.keyboard('{End}');
  await screen.findByText('line 499');
});

it('searches from the keyboard, counts, highlights and goes round', async () => {
  const text = numbered(300).replace('line 40\n', 'an Error here\n').replace('line 7\n', 'error\n');
  const backend = new FakeBackend({ log: () => page(text) });
  shown(backend);
  await screen.findByText('line 299');
  screen.getByRole('log').focus();
  await userEvent.keyboard('{Control>}f{/Control}');
  const field = screen.getByRole('searchbox', { name: 'Search the log' });
  expect(document.activeElement).toBe(field);
  await userEvent.keyboard('error');
  await screen.findByText(/^(1|2) of 2$/);
  await waitFor(() => {
    expect(screen.getByRole('log').querySelector('.rc-Log-current mark')?.textContent).toBe(
      'error'
    );
  });
  const first = screen.getByText(/^(1|2) of 2$/).textContent;
  await userEvent.keyboard('{Enter}');
  await screen.findByText(first === '1 of 2' ? '2 of 2' : '1 of 2');
  await userEvent.keyboard('{Shift>}{Enter}{/Shift}');
  await screen.findByText(first);

  await userEvent.clear(field);
  await userEvent.type(field, '(');
  await screen.findByText('none');
  await userEvent.click(screen.getByRole('button', { name: 'Regular expression' }));
  await screen.findByText('not an expression');
  await userEvent.keyboard('{Escape}');
  expect(screen.queryByRole('searchbox')).toBeNull();
  expect(document.activeElement).toBe(screen.getByRole('log'));
});

it('shows what a job prints as text, colours and links only', async () => {
  const text = '<img src=x onerror=alert(1)>\n\u001b[31mred\u001b[0m https://example.org/x\n';
  const container = shown(new FakeBackend({ log: () => page(text) }));
  await screen.findByText('<img src=x onerror=alert(1)>');
  expect(container.querySelector('img')).toBeNull();
  expect(screen.getByText('red').className).toBe('rc-ansi-red');
  const link = screen.getByRole('link', { name: 'https://example.org/x' });
  expect(link.getAttribute('rel')).toContain('noopener');
});

it('shows times and wraps when asked to', async () => {
  shown(new FakeBackend({ log: () => page('one\n') }));
  await screen.findByText('one');
  expect(screen.queryByText(/^\d\d:02:11$/)).toBeNull();
  await userEvent.click(screen.getByRole('button', { name: 'time' }));
  expect(screen.getByText(/^\d\d:\d\d:11$/)).toBeTruthy();
  const wrap = screen.getByRole('button', { name: 'wrap' });
  await userEvent.click(wrap);
  expect(wrap.getAttribute('aria-pressed')).toBe('true');
});

it('copies what is held and downloads the whole', async () => {
  const person = userEvent.setup();
  shown(new FakeBackend({ log: () => page('\u001b[1mone\u001b[0m\n 1%\r100%\n') }));
  await screen.findByText('100%');
  await person.click(screen.getByRole('button', { name: 'copy' }));
  await screen.findByText('Copied the whole log.');
  expect(await navigator.clipboard.readText()).toBe('one\n100%\n');
  expect(screen.getByRole('link', { name: 'download' }).getAttribute('href')).toBe('/log?job=j-1');
});

it('saves what is held where nothing can be downloaded, and says what that is', async () => {
  const text = numbered(4);
  const backend = new FakeBackend({
    log: () => ({
      ...page(text),
      pieces: [
        { ...page(text).pieces[0], start: 100, end: 128, time: null, origin: 'script', text }
      ],
      size: 128
    })
  });
  vi.spyOn(backend, 'downloadUrl').mockReturnValue(null);
  const blobs: Blob[] = [];
  URL.createObjectURL = blob => {
    blobs.push(blob as Blob);
    return 'blob:x';
  };
  URL.revokeObjectURL = () => undefined;
  const click = vi.spyOn(HTMLAnchorElement.prototype, 'click').mockReturnValue();
  shown(backend);
  await screen.findByText('line 3');
  expect(screen.getByText('last 4 lines · 128 B')).toBeTruthy();
  await userEvent.click(screen.getByRole('button', { name: 'download' }));
  await screen.findByText('Saved the last 28 B of 128 B.');
  expect(click).toHaveBeenCalledOnce();
  expect(blobs[0]?.size).toBe(text.length);
});

it('loads what lies before', async () => {
  const all = numbered(400);
  const backend = new FakeBackend({
    log: ({ start, limit }) => {
      const from = start < 0 ? 2000 : start;
      const end = start < 0 ? all.length : Math.min(all.length, from + (limit ?? 0));
      const text = all.slice(from, end);
      const pieces = [{ start: from, end, time: null, origin: 'script' as const, text }];
      return { pieces, size: all.length, ended: true };
    }
  });
  shown(backend, true);
  await screen.findByText('line 399');
  screen.getByRole('log').focus();
  await userEvent.keyboard('{Home}');
  await userEvent.click(await screen.findByRole('button', { name: 'load 2.0 kB' }));
  await screen.findByText('400 lines · 3.5 kB');
  await userEvent.keyboard('{Home}');
  await screen.findByText('line 0');
  expect(screen.queryByRole('button', { name: /^load/ })).toBeNull();
});

it('says that nothing was printed yet, and what the job does', async () => {
  const backend = new FakeBackend({ log: () => page('') });
  shown(backend);
  await screen.findByText('Nothing printed yet.');
  await waitFor(() => {
    expect(backend.followed).toContain('card');
  });
  act(() => {
    backend.emit('card', card({ job: job({ phases: job().phases.slice(0, 3) }) }));
  });
  await screen.findByText('The job is in environment');
  more(backend, '', 'first\n');
  await screen.findByText('first');
  expect(backend.followed).not.toContain('card');
});

it('shows a trouble where it happens and tries again', async () => {
  let down = true;
  const trouble = { error: 'gone', what: 'The bucket does not answer.', to_resolve: 'Wait.' };
  const backend = new FakeBackend({
    log: () => {
      if (down) {
        throw new BackendError(trouble);
      }
      return page('back\n');
    }
  });
  shown(backend);
  const alert = await screen.findByRole('alert');
  expect(within(alert).getByText('The bucket does not answer.')).toBeTruthy();
  down = false;
  await userEvent.click(within(alert).getByRole('button', { name: 'Try again' }));
  await screen.findByText('back');
  expect(screen.queryByRole('alert')).toBeNull();

  act(() => {
    backend.status({ live: false, trouble });
  });
  await screen.findByRole('alert');
  expect(screen.getByText('back')).toBeTruthy();
});

it('stops following when it goes away', async () => {
  const backend = new FakeBackend({ log: () => page('one\n') });
  const { unmount } = render(
    <ConnectionContext.Provider value={{ backend, host: {} }}>
      <LogView job="j-1" />
    </ConnectionContext.Provider>
  );
  await screen.findByText('one');
  unmount();
  expect(backend.followed).toEqual([]);
});

it('has nothing that axe finds serious', async () => {
  const container = shown(new FakeBackend({ log: () => page(numbered(50)) }));
  await screen.findByText('line 49');
  await userEvent.click(screen.getByRole('button', { name: 'search' }));
  const off = { enabled: false };
  // Both look at what is drawn, and nothing is here.
  const rules = { 'color-contrast': off, 'label-content-name-mismatch': off };
  const { violations } = await axe.run(container, { rules });
  expect(violations.map(each => [each.id, each.nodes.map(node => node.html)])).toEqual([]);
});
