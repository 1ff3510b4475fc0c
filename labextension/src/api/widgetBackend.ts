import type {
  ActionName,
  Actions,
  Backend,
  Queries,
  QueryName,
  StreamStatus,
  TopicName,
  Topics
} from './backend';
import { BackendError } from './backend';
import type { ErrorDocument } from './documents';

/** What of an anywidget model is needed: custom messages to the widget in the kernel, and from it. */
export interface MessageModel {
  send(content: unknown): void;
  on(event: string, callback: (content: unknown) => void): void;
  off(event: string, callback: (content: unknown) => void): void;
}

/** The messages of the kernel; see `runctl_jupyter/widgets/connected.py` and `runctl_jupyter/panels/feed.py`. */
type Message =
  | { type: 'received'; id: string }
  | { type: 'reply'; id: string; result: unknown; error?: undefined }
  | { type: 'reply'; id: string; error: ErrorDocument }
  | { type: 'events'; events: { id: string; event: unknown }[] }
  | { type: 'status'; id: string; live: boolean; trouble: ErrorDocument | null };

interface Call {
  settle: (message: Message & { type: 'reply' }) => void;
  reject: (reason: Error) => void;
  isAct: boolean;
}

interface Subscription {
  topic: TopicName;
  params: unknown;
  onEvent: (event: unknown) => void;
  onStatus: (status: StreamStatus) => void;
  /** The view has been told that the kernel does not answer. */
  troubled: boolean;
}

/** After so long without a sign that it has taken up a message, the kernel is called busy. */
const PATIENCE_MS = 5000;

const BUSY: ErrorDocument = {
  error: 'kernel-busy',
  what: 'The kernel is busy or gone; the job goes on.',
  to_resolve:
    'This view catches up when the running cell ends. After a restart of the kernel, run the cell of this view again.'
};

const ACT_WAITS: ErrorDocument = {
  error: 'kernel-busy',
  what: 'The kernel is busy or gone: it has not taken this up yet.',
  to_resolve: 'It does when the running cell ends; a terminal does it now, see: runctl --help'
};

const CLOSED = 'the view has been closed';

/**
 * The way through a widget to the kernel.
 *
 * The kernel confirms each message when it takes it up. Where it does not, the views are told; nothing is given up:
 * messages wait in the kernel's queue until the running cell ends.
 */
export class WidgetBackend implements Backend {
  readonly kind = 'kernel';
  private readonly calls = new Map<string, Call>();
  private readonly subscriptions = new Map<string, Subscription>();
  private readonly waiting = new Map<string, ReturnType<typeof setTimeout>>();
  /** Several views may share the widget: ids of one are none of another. */
  private readonly mark = Math.random().toString(36).slice(2);
  private count = 0;

  constructor(private readonly model: MessageModel) {
    model.on('msg:custom', this.receive);
    model.on('comm_live_update', this.ping);
  }

  query<M extends QueryName>(
    method: M,
    params: Queries[M]['params'],
    signal?: AbortSignal
  ): Promise<Queries[M]['result']> {
    return this.call<Queries[M]['result']>('query', method, params, signal);
  }

  act<A extends ActionName>(
    action: A,
    params: Actions[A]['params']
  ): Promise<Actions[A]['result']> {
    return this.call<Actions[A]['result']>('act', action, params);
  }

  subscribe<T extends TopicName>(
    topic: T,
    params: Topics[T]['params'],
    onEvent: (event: Topics[T]['event']) => void,
    onStatus?: (status: StreamStatus) => void
  ): () => void {
    const subscription: Subscription = {
      topic,
      params,
      onEvent: event => {
        onEvent(event as Topics[T]['event']);
      },
      onStatus: onStatus ?? (() => undefined),
      troubled: false
    };
    this.follow(subscription);
    return () => {
      for (const [id, each] of this.subscriptions) {
        if (each === subscription) {
          this.unfollow(id);
        }
      }
    };
  }

  downloadUrl(): null {
    return null;
  }

  /** End all subscriptions; the widget in the kernel stays for other views. */
  close(): void {
    for (const id of [...this.subscriptions.keys()]) {
      this.unfollow(id);
    }
    for (const timer of this.waiting.values()) {
      clearTimeout(timer);
    }
    this.waiting.clear();
    for (const call of this.calls.values()) {
      call.reject(new DOMException(CLOSED, 'AbortError'));
    }
    this.calls.clear();
    this.model.off('msg:custom', this.receive);
    this.model.off('comm_live_update', this.ping);
  }

  private call<R>(
    type: 'query' | 'act',
    method: string,
    params: unknown,
    signal?: AbortSignal
  ): Promise<R> {
    return new Promise<R>((resolve, reject) => {
      const id = this.nextId();
      const abort = (): void => {
        this.calls.delete(id);
        this.received(id);
        reject(new DOMException('the question was taken back', 'AbortError'));
      };
      if (signal?.aborted === true) {
        abort();
        return;
      }
      signal?.addEventListener('abort', abort, { once: true });
      this.calls.set(id, {
        isAct: type === 'act',
        reject,
        settle: message => {
          signal?.removeEventListener('abort', abort);
          if (message.error === undefined) {
            resolve(message.result as R);
          } else {
            reject(new BackendError(message.error));
          }
        }
      });
      this.send({ type, id, method, params });
    });
  }

  private follow(subscription: Subscription): void {
    const id = this.nextId();
    this.subscriptions.set(id, subscription);
    const { topic, params } = subscription;
    this.send({ type: 'subscribe', id, topic, params, place: null });
  }

  private unfollow(id: string): void {
    this.subscriptions.delete(id);
    this.received(id);
    this.post({ type: 'unsubscribe', id });
  }

  private nextId(): string {
    return `${this.mark}-${String(++this.count)}`;
  }

  private send(message: { type: string; id: string; [key: string]: unknown }): void {
    this.waiting.set(
      message.id,
      setTimeout(() => {
        this.late(message.id);
      }, PATIENCE_MS)
    );
    if (!this.post(message)) {
      this.late(message.id);
    }
  }

  /** Send, and say whether there was anybody to send to: some pages throw when the kernel is gone. */
  private post(message: unknown): boolean {
    try {
      this.model.send(message);
      return true;
    } catch {
      return false;
    }
  }

  /** Ask for a sign of life: the page tells that the connection to the kernel has changed. */
  private readonly ping = (): void => {
    this.send({ type: 'ping', id: this.nextId() });
  };

  private readonly receive = (content: unknown): void => {
    const message = content as Message;
    switch (message.type) {
      case 'received':
        this.received(message.id);
        this.recover(message.id);
        break;
      case 'reply': {
        const call = this.calls.get(message.id);
        this.calls.delete(message.id);
        call?.settle(message);
        break;
      }
      case 'status': {
        const { live, trouble } = message;
        this.subscriptions.get(message.id)?.onStatus({ live, trouble });
        break;
      }
      case 'events':
        for (const { id, event } of message.events) {
          const subscription = this.subscriptions.get(id);
          if (subscription !== undefined) {
            subscription.troubled = false;
            subscription.onEvent(event);
          }
        }
        break;
    }
  };

  private received(id: string): void {
    clearTimeout(this.waiting.get(id));
    this.waiting.delete(id);
  }

  private late(id: string): void {
    const call = this.calls.get(id);
    if (call?.isAct === true) {
      // Its button should not look as if something were happening. The message stays in the kernel's queue.
      this.calls.delete(id);
      this.received(id);
      call.reject(new BackendError(ACT_WAITS));
      return;
    }
    for (const subscription of this.subscriptions.values()) {
      subscription.troubled = true;
      subscription.onStatus({ live: false, trouble: BUSY });
    }
  }

  /** The kernel takes up messages again. What may have been lost on the way is asked for anew. */
  private recover(taken: string): void {
    for (const [id, subscription] of [...this.subscriptions]) {
      if (subscription.troubled) {
        subscription.troubled = false;
        subscription.onStatus({ live: true, trouble: null });
        if (id !== taken) {
          this.unfollow(id);
          this.follow(subscription);
        }
      }
    }
  }
}
