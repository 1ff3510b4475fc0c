import type { StreamStatus, TopicName } from './backend';
import type { ErrorDocument } from './documents';

/** What a view that follows a topic has asked for. */
export interface Subscription {
  topic: TopicName;
  params: unknown;
  place: string | null;
  onEvent: (event: unknown) => void;
  onStatus: (status: StreamStatus) => void;
}

/** The messages of the server; see `runctl_jupyter/panels/feed.py`. */
type Message =
  | { type: 'events'; events: { id: string; event: unknown }[] }
  | { type: 'status'; id: string; live: boolean; trouble: ErrorDocument | null };

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 20_000;
/** A stream that nobody follows any more is closed after so long: views come and go. */
const IDLE_MS = 10_000;

const UNREACHABLE: ErrorDocument = {
  error: 'server-unreachable',
  what: 'The Jupyter server does not answer.',
  to_resolve: 'Jobs go on without it; this view catches up when it is back.'
};

/**
 * One WebSocket for all subscriptions of a page.
 *
 * It opens with the first subscription, comes back by itself with growing pauses, and then asks for everything anew.
 */
export class EventStream {
  private readonly subscriptions = new Map<string, Subscription>();
  private socket: WebSocket | null = null;
  private pause = FIRST_PAUSE_MS;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private idle: ReturnType<typeof setTimeout> | undefined;
  private count = 0;

  /** @param open - makes a socket to the server's events route */
  constructor(private readonly open: () => WebSocket) {}

  /** Follow a topic until the returned function is called. */
  subscribe(subscription: Subscription): () => void {
    const id = String(++this.count);
    this.subscriptions.set(id, subscription);
    clearTimeout(this.idle);
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.ask(this.socket, id, subscription);
    } else if (this.socket === null && this.retry === undefined) {
      this.connect();
    }
    return () => {
      this.drop(id);
    };
  }

  /** Close the socket; subscriptions are forgotten. */
  close(): void {
    this.subscriptions.clear();
    clearTimeout(this.retry);
    clearTimeout(this.idle);
    this.retry = undefined;
    const socket = this.socket;
    this.socket = null;
    socket?.close();
  }

  private drop(id: string): void {
    if (!this.subscriptions.delete(id)) {
      return;
    }
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ type: 'unsubscribe', id }));
    }
    if (this.subscriptions.size === 0) {
      clearTimeout(this.idle);
      this.idle = setTimeout(() => {
        this.close();
      }, IDLE_MS);
    }
  }

  private connect(): void {
    const socket = this.open();
    this.socket = socket;
    socket.onopen = () => {
      this.pause = FIRST_PAUSE_MS;
      for (const [id, subscription] of this.subscriptions) {
        this.ask(socket, id, subscription);
      }
    };
    socket.onmessage = (event: MessageEvent<string>) => {
      this.receive(JSON.parse(event.data) as Message);
    };
    socket.onclose = () => {
      if (this.socket === socket) {
        this.lost();
      }
    };
  }

  private ask(socket: WebSocket, id: string, subscription: Subscription): void {
    const { topic, params, place } = subscription;
    socket.send(JSON.stringify({ type: 'subscribe', id, topic, params, place }));
  }

  private receive(message: Message): void {
    if (message.type === 'status') {
      const { live, trouble } = message;
      this.subscriptions.get(message.id)?.onStatus({ live, trouble });
      return;
    }
    for (const { id, event } of message.events) {
      this.subscriptions.get(id)?.onEvent(event);
    }
  }

  private lost(): void {
    this.socket = null;
    for (const subscription of [...this.subscriptions.values()]) {
      subscription.onStatus({ live: false, trouble: UNREACHABLE });
    }
    if (this.subscriptions.size === 0) {
      return;
    }
    // Not all pages at the same moment after a restart of the server.
    const wait = this.pause * (0.5 + Math.random());
    this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_MS);
    this.retry = setTimeout(() => {
      this.retry = undefined;
      if (this.subscriptions.size > 0) {
        this.connect();
      }
    }, wait);
  }
}
