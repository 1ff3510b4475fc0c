import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { StreamStatus } from '../src/api/backend';
import { EventStream } from '../src/api/eventStream';

/** A socket whose other end is the test. */
class Wire {
  static readonly made: Wire[] = [];
  readyState: number = WebSocket.CONNECTING;
  readonly sent: unknown[] = [];
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;

  constructor() {
    Wire.made.push(this);
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.readyState = WebSocket.CLOSED;
    this.onclose?.();
  }

  accept(): void {
    this.readyState = WebSocket.OPEN;
    this.onopen?.();
  }

  tell(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }

  static get last(): Wire {
    const wire = Wire.made.at(-1);
    if (wire === undefined) {
      throw new Error('no socket was opened');
    }
    return wire;
  }
}

interface Following {
  events: unknown[];
  statuses: StreamStatus[];
  stop: () => void;
}

function follow(stream: EventStream, topic: 'jobs' | 'instances' = 'jobs'): Following {
  const events: unknown[] = [];
  const statuses: StreamStatus[] = [];
  const stop = stream.subscribe({
    topic,
    params: {},
    place: null,
    onEvent: event => events.push(event),
    onStatus: status => statuses.push(status)
  });
  return { events, statuses, stop };
}

describe('EventStream', () => {
  let stream: EventStream;

  beforeEach(() => {
    vi.useFakeTimers();
    Wire.made.length = 0;
    stream = new EventStream(() => new Wire() as unknown as WebSocket);
  });

  afterEach(() => {
    stream.close();
    vi.useRealTimers();
  });

  it('opens one socket for all, when the first one follows', () => {
    expect(Wire.made).toHaveLength(0);
    follow(stream);
    follow(stream, 'instances');
    Wire.last.accept();
    expect(Wire.made).toHaveLength(1);
    expect(Wire.last.sent).toEqual([
      { type: 'subscribe', id: '1', topic: 'jobs', params: {}, place: null },
      { type: 'subscribe', id: '2', topic: 'instances', params: {}, place: null }
    ]);
  });

  it('gives each event to who follows it, and none to who has stopped', () => {
    const one = follow(stream);
    const two = follow(stream, 'instances');
    Wire.last.accept();
    two.stop();
    Wire.last.tell({
      type: 'events',
      events: [
        { id: '1', event: 'a' },
        { id: '2', event: 'b' }
      ]
    });
    expect([one.events, two.events]).toEqual([['a'], []]);
    expect(Wire.last.sent).toContainEqual({ type: 'unsubscribe', id: '2' });
  });

  it('says so when the server is gone, and asks for everything anew when it is back', () => {
    const one = follow(stream);
    Wire.last.accept();
    Wire.last.close();
    expect(one.statuses.at(-1)?.trouble?.error).toBe('server-unreachable');
    vi.advanceTimersByTime(1000);
    expect(Wire.made).toHaveLength(2);
    Wire.last.accept();
    expect(Wire.last.sent).toEqual([
      { type: 'subscribe', id: '1', topic: 'jobs', params: {}, place: null }
    ]);
  });

  it('waits longer after each failure, at most half a minute', () => {
    follow(stream);
    for (let tries = 0; tries < 12; tries++) {
      Wire.last.close();
      vi.advanceTimersByTime(30_000);
    }
    expect(Wire.made).toHaveLength(13);
    Wire.last.close();
    vi.advanceTimersByTime(9_000);
    expect(Wire.made).toHaveLength(13);
  });

  it('hangs up when nobody follows any more', () => {
    const one = follow(stream);
    const wire = Wire.last;
    wire.accept();
    one.stop();
    expect(wire.readyState).toBe(WebSocket.OPEN);
    vi.advanceTimersByTime(11_000);
    expect(wire.readyState).toBe(WebSocket.CLOSED);
    vi.advanceTimersByTime(60_000);
    expect(Wire.made).toHaveLength(1);
  });
});
