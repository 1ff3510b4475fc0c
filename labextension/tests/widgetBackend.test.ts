import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { StreamStatus } from '../src/api/backend';
import { BackendError } from '../src/api/backend';
import type { MessageModel } from '../src/api/widgetBackend';
import { WidgetBackend } from '../src/api/widgetBackend';
import { job } from './samples';

interface Sent {
  type: string;
  id: string;
  [key: string]: unknown;
}

/** The kernel's side of a widget, by hand. */
class FakeModel implements MessageModel {
  readonly sent: Sent[] = [];
  gone = false;
  private readonly callbacks = new Map<string, Set<(content: unknown) => void>>();

  send(content: unknown): void {
    if (this.gone) {
      throw new Error('Comm is disposed');
    }
    this.sent.push(content as Sent);
  }

  on(event: string, callback: (content: unknown) => void): void {
    this.callbacks.set(event, (this.callbacks.get(event) ?? new Set()).add(callback));
  }

  off(event: string, callback: (content: unknown) => void): void {
    this.callbacks.get(event)?.delete(callback);
  }

  say(content: unknown, event = 'msg:custom'): void {
    for (const callback of [...(this.callbacks.get(event) ?? [])]) {
      callback(content);
    }
  }

  last(type: string): Sent {
    const found = this.sent.filter(each => each.type === type).at(-1);
    if (found === undefined) {
      throw new Error(`no ${type} was sent`);
    }
    return found;
  }

  receive(...types: string[]): void {
    for (const { type, id } of [...this.sent]) {
      if (types.includes(type)) {
        this.say({ type: 'received', id });
      }
    }
  }

  get listeners(): number {
    return [...this.callbacks.values()].reduce((sum, each) => sum + each.size, 0);
  }
}

let model: FakeModel;
let backend: WidgetBackend;

beforeEach(() => {
  vi.useFakeTimers();
  model = new FakeModel();
  backend = new WidgetBackend(model);
});

afterEach(() => {
  backend.close();
  vi.useRealTimers();
});

describe('questions', () => {
  it('asks and takes the answer that is its own', async () => {
    const first = backend.query('card', { job: 'a' });
    const second = backend.query('types', {});
    const [card, types] = model.sent;
    expect(card).toMatchObject({ type: 'query', method: 'card', params: { job: 'a' } });
    expect(card?.id).not.toBe(types?.id);
    model.say({ type: 'reply', id: types?.id, result: { types: [] } });
    model.say({ type: 'reply', id: card?.id, result: { note: 'the card' } });
    await expect(second).resolves.toEqual({ types: [] });
    await expect(first).resolves.toEqual({ note: 'the card' });
  });

  it('rejects with what the kernel says', async () => {
    const error = { error: 'job-not-found', what: 'There is no job a.', to_resolve: 'Look.' };
    const asked = backend.query('card', { job: 'a' });
    model.say({ type: 'reply', id: model.last('query').id, error });
    await expect(asked).rejects.toMatchObject({ document: error });
    await expect(asked).rejects.toBeInstanceOf(BackendError);
  });

  it('can be taken back, before and after they are asked', async () => {
    const controller = new AbortController();
    const asked = backend.query('types', {}, controller.signal);
    controller.abort();
    await expect(asked).rejects.toMatchObject({ name: 'AbortError' });
    await expect(backend.query('types', {}, controller.signal)).rejects.toMatchObject({
      name: 'AbortError'
    });
    expect(model.sent).toHaveLength(1);
    model.say({ type: 'reply', id: model.last('query').id, result: { types: [] } });
  });

  it('wait for a busy kernel', async () => {
    const asked = backend.query('types', {});
    await vi.advanceTimersByTimeAsync(600_000);
    model.say({ type: 'reply', id: model.last('query').id, result: { types: [] } });
    await expect(asked).resolves.toEqual({ types: [] });
  });
});

describe('deeds', () => {
  it('are done, however long they take once the kernel has taken them up', async () => {
    const done = backend.act('cancel', { job: 'a' });
    expect(model.last('act')).toMatchObject({ method: 'cancel', params: { job: 'a' } });
    model.receive('act');
    await vi.advanceTimersByTimeAsync(90_000);
    const result = { job: job({ state: 'cancelled' }) };
    model.say({ type: 'reply', id: model.last('act').id, result });
    await expect(done).resolves.toEqual(result);
  });

  it('say that they wait when the kernel is busy', async () => {
    const done = backend.act('cancel', { job: 'a' });
    const failed = expect(done).rejects.toMatchObject({ document: { error: 'kernel-busy' } });
    await vi.advanceTimersByTimeAsync(6000);
    await failed;
  });
});

describe('subscriptions', () => {
  function follow(): { events: unknown[]; states: StreamStatus[]; leave: () => void } {
    const events: unknown[] = [];
    const states: StreamStatus[] = [];
    const leave = backend.subscribe(
      'costs',
      {},
      event => events.push(event),
      status => states.push(status)
    );
    return { events, states, leave };
  }

  it('bring events in order, and status, each to whom it belongs', () => {
    const one = follow();
    const two = follow();
    const [first, second] = model.sent;
    expect(first).toMatchObject({ type: 'subscribe', topic: 'costs', params: {}, place: null });
    model.say({
      type: 'events',
      events: [
        { id: first?.id, event: 1 },
        { id: 'of another view', event: 9 },
        { id: second?.id, event: 2 },
        { id: first?.id, event: 3 }
      ]
    });
    model.say({ type: 'status', id: second?.id, live: true, trouble: null });
    expect(one.events).toEqual([1, 3]);
    expect(two.events).toEqual([2]);
    expect(one.states).toEqual([]);
    expect(two.states).toEqual([{ live: true, trouble: null }]);
  });

  it('end when the view goes', () => {
    const { events, leave } = follow();
    const { id } = model.last('subscribe');
    leave();
    expect(model.last('unsubscribe').id).toBe(id);
    model.say({ type: 'events', events: [{ id, event: 1 }] });
    expect(events).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('end all together', () => {
    follow();
    follow();
    backend.close();
    expect(model.sent.filter(each => each.type === 'unsubscribe')).toHaveLength(2);
    expect(vi.getTimerCount()).toBe(0);
    expect(model.listeners).toBe(0);
  });

  it('say that the kernel is busy, and come back by the same message when it is not', async () => {
    const { states } = follow();
    await vi.advanceTimersByTimeAsync(6000);
    expect(states).toMatchObject([{ live: false, trouble: { error: 'kernel-busy' } }]);
    model.receive('subscribe');
    expect(states.at(-1)).toEqual({ live: true, trouble: null });
    await vi.advanceTimersByTimeAsync(60_000);
    expect(states).toHaveLength(2);
    // It was in the kernel's queue all the while: events come without asking again.
    expect(model.sent.map(each => each.type)).toEqual(['subscribe']);
  });

  it('are made anew when the kernel has come back', async () => {
    const { events, states } = follow();
    const { id } = model.last('subscribe');
    model.receive('subscribe');
    model.say(undefined, 'comm_live_update');
    expect(model.last('ping')).toBeDefined();
    await vi.advanceTimersByTimeAsync(6000);
    expect(states).toMatchObject([{ live: false }]);
    model.receive('ping');
    expect(model.last('unsubscribe').id).toBe(id);
    const again = model.last('subscribe').id;
    expect(again).not.toBe(id);
    expect(states.at(-1)).toEqual({ live: true, trouble: null });
    model.say({ type: 'events', events: [{ id: again, event: 'reset' }] });
    expect(events).toEqual(['reset']);
  });

  it('say at once that the kernel is gone where the page knows', () => {
    model.gone = true;
    const { states, leave } = follow();
    expect(states).toMatchObject([{ live: false, trouble: { error: 'kernel-busy' } }]);
    leave();
  });
});

it('has no address to download from', () => {
  expect(backend.kind).toBe('kernel');
  expect(backend.downloadUrl()).toBeNull();
});
