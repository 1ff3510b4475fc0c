import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';

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
import { EventStream } from './eventStream';

const ROUTE = 'runctl-jupyter';

/** The way through the Jupyter server: no kernel needed. */
export class ServerBackend implements Backend {
  readonly kind = 'server';

  /**
   * @param settings - how the server is reached
   * @param stream - the page's event stream
   * @param place - id of the place that is asked; null for the server's default
   */
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly stream: EventStream,
    private readonly place: string | null
  ) {}

  async query<M extends QueryName>(
    method: M,
    params: Queries[M]['params'],
    signal?: AbortSignal
  ): Promise<Queries[M]['result']> {
    const address = this.url(`query/${method}`) + this.search({ params: JSON.stringify(params) });
    const init: RequestInit = signal === undefined ? {} : { signal };
    return (await this.request(address, init)) as Queries[M]['result'];
  }

  async act<A extends ActionName>(
    action: A,
    params: Actions[A]['params']
  ): Promise<Actions[A]['result']> {
    const body = JSON.stringify({ params, place: this.place });
    return (await this.request(this.url(`act/${action}`), {
      method: 'POST',
      body
    })) as Actions[A]['result'];
  }

  subscribe<T extends TopicName>(
    topic: T,
    params: Topics[T]['params'],
    onEvent: (event: Topics[T]['event']) => void,
    onStatus?: (status: StreamStatus) => void
  ): () => void {
    return this.stream.subscribe({
      topic,
      params,
      place: this.place,
      onEvent: event => {
        onEvent(event as Topics[T]['event']);
      },
      onStatus: onStatus ?? (() => undefined)
    });
  }

  downloadUrl(what: { uri: string } | { log: string }): string {
    return this.url('download') + this.search(what);
  }

  private search(query: Record<string, string>): string {
    const all = this.place === null ? query : { ...query, place: this.place };
    return `?${new URLSearchParams(all).toString()}`;
  }

  private url(path: string): string {
    return URLExt.join(this.settings.baseUrl, ROUTE, path);
  }

  private async request(address: string, init: RequestInit): Promise<unknown> {
    let response: Response;
    try {
      response = await ServerConnection.makeRequest(address, init, this.settings);
    } catch (error) {
      if (init.signal?.aborted === true) {
        throw error;
      }
      throw new BackendError({
        error: 'server-unreachable',
        what: 'The Jupyter server does not answer.',
        to_resolve: 'Jobs go on without it. Check that it runs, then try again.'
      });
    }
    if (response.ok) {
      return await response.json();
    }
    throw new BackendError(await explained(response));
  }
}

/** Return what the server says of a failure, or what its silence means. */
async function explained(response: Response): Promise<ErrorDocument> {
  const text = await response.text();
  try {
    const said = JSON.parse(text) as Partial<ErrorDocument>;
    if (said.what !== undefined && said.to_resolve !== undefined) {
      return { error: said.error ?? 'failed', what: said.what, to_resolve: said.to_resolve };
    }
  } catch (error) {
    if (!(error instanceof SyntaxError)) {
      throw error;
    }
  }
  if (response.status === 404) {
    return {
      error: 'server-extension-missing',
      what: 'This Jupyter server does not have the runctl-jupyter extension.',
      to_resolve:
        'Install runctl-jupyter where the server runs, or: jupyter server extension enable runctl_jupyter; then restart it.'
    };
  }
  if (response.status === 403) {
    return {
      error: 'permission-denied',
      what: 'The Jupyter server refuses this to you.',
      to_resolve: 'Sign in again by reloading the page; on a shared hub ask who runs it.'
    };
  }
  return {
    error: 'server-failed',
    what: `The Jupyter server failed (${String(response.status)}).`,
    to_resolve: 'Try again; its log says what happened.'
  };
}

/** Return the event stream of a server; one for each page. */
export function openEventStream(settings: ServerConnection.ISettings): EventStream {
  return new EventStream(() => {
    const address = URLExt.join(settings.wsUrl, ROUTE, 'events');
    const token =
      settings.appendToken && settings.token !== ''
        ? `?token=${encodeURIComponent(settings.token)}`
        : '';
    return new settings.WebSocket(address + token);
  });
}
