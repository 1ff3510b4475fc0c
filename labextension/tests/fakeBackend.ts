import type {
  ActionName,
  Actions,
  Backend,
  Queries,
  QueryName,
  StreamStatus,
  TopicName,
  Topics
} from '../src/api/backend';
import { BackendError } from '../src/api/backend';

type Answers = {
  [M in QueryName]?: (
    params: Queries[M]['params']
  ) => Queries[M]['result'] | Promise<Queries[M]['result']>;
};
type Deeds = {
  [A in ActionName]?: (
    params: Actions[A]['params']
  ) => Actions[A]['result'] | Promise<Actions[A]['result']>;
};

interface Subscription {
  topic: TopicName;
  params: unknown;
  onEvent: (event: never) => void;
  onStatus: ((status: StreamStatus) => void) | undefined;
}

/** A backend that answers as a test or the gallery tells it to; what was asked of it can be read. */
export class FakeBackend implements Backend {
  readonly kind: Backend['kind'] = 'server';
  readonly asked: { method: string; params: unknown }[] = [];
  readonly done: { action: string; params: unknown }[] = [];
  private readonly subscriptions = new Set<Subscription>();

  constructor(
    private readonly answers: Answers = {},
    private readonly deeds: Deeds = {}
  ) {}

  async query<M extends QueryName>(
    method: M,
    params: Queries[M]['params']
  ): Promise<Queries[M]['result']> {
    this.asked.push({ method, params });
    const answer = this.answers[method] as
      ((params: Queries[M]['params']) => Promise<Queries[M]['result']>) | undefined;
    if (answer === undefined) {
      throw new BackendError({
        error: 'no-answer',
        what: `Nobody answers ${method}.`,
        to_resolve: 'Give the fake one.'
      });
    }
    return await answer(params);
  }

  async act<A extends ActionName>(
    action: A,
    params: Actions[A]['params']
  ): Promise<Actions[A]['result']> {
    this.done.push({ action, params });
    const deed = this.deeds[action] as
      ((params: Actions[A]['params']) => Promise<Actions[A]['result']>) | undefined;
    if (deed === undefined) {
      throw new BackendError({
        error: 'no-deed',
        what: `Nobody does ${action}.`,
        to_resolve: 'Give the fake one.'
      });
    }
    return await deed(params);
  }

  subscribe<T extends TopicName>(
    topic: T,
    params: Topics[T]['params'],
    onEvent: (event: Topics[T]['event']) => void,
    onStatus?: (status: StreamStatus) => void
  ): () => void {
    const subscription: Subscription = { topic, params, onEvent, onStatus };
    this.subscriptions.add(subscription);
    return () => {
      this.subscriptions.delete(subscription);
    };
  }

  downloadUrl(what: { uri: string } | { log: string }): string | null {
    return 'uri' in what ? `/download?uri=${encodeURIComponent(what.uri)}` : `/log?job=${what.log}`;
  }

  /** Send an event to all who follow a topic. */
  emit<T extends TopicName>(topic: T, event: Topics[T]['event']): void {
    for (const each of [...this.subscriptions]) {
      if (each.topic === topic) {
        (each.onEvent as (event: Topics[T]['event']) => void)(event);
      }
    }
  }

  /** Tell all how their subscriptions fare. */
  status(status: StreamStatus): void {
    for (const each of [...this.subscriptions]) {
      each.onStatus?.(status);
    }
  }

  /** Topics that somebody follows now. */
  get followed(): TopicName[] {
    return [...this.subscriptions].map(each => each.topic);
  }
}
