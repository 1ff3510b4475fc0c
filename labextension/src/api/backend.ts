import type {
  CardDocument,
  CheckpointDocument,
  CostsDocument,
  ErrorDocument,
  InstanceDocument,
  JobDocument,
  LogPage,
  LogPiece,
  ObjectPage,
  PlaceDocument,
  PreviewDocument,
  SeriesDocument,
  TypeDocument
} from './documents';

/** Questions: name, what is asked with, what comes back. They change nothing. */
export interface Queries {
  /** Places that are known on this computer: targets that have been used, the default one first. */
  places: {
    params: Record<string, never>;
    result: {
      places: { id: string; target: string; region: string | null; bucket: string | null }[];
    };
  };
  place: { params: Record<string, never>; result: PlaceDocument };
  card: { params: { job: string }; result: CardDocument };
  /** At most `limit` bytes of the log from byte `start` on; below zero it counts from the end. */
  log: {
    params: { job: string; start: number; limit?: number };
    result: LogPage;
  };
  series: { params: { job: string }; result: SeriesDocument };
  checkpoints: {
    params: { job: string };
    result: { checkpoints: CheckpointDocument[] };
  };
  /** Where a job came from and what it ran with, as titles and texts. */
  record: {
    params: { job: string };
    result: { facts: [string, string][]; text: string };
  };
  objects: {
    params: { uri: string; token?: string; filter?: string; limit?: number };
    result: ObjectPage;
  };
  preview: { params: { uri: string }; result: PreviewDocument };
  types: { params: Record<string, never>; result: { types: TypeDocument[] } };
}

/** What changes the world. */
export interface Actions {
  cancel: { params: { job: string }; result: { job: JobDocument } };
  /** Go on with an ended job, from its newest checkpoint or from `checkpoint` (a URI). */
  resume: {
    params: { job: string; checkpoint?: string };
    result: { job: JobDocument };
  };
  start: {
    params: { instance: string };
    result: { instance: InstanceDocument };
  };
  stop: {
    params: { instance: string; force?: boolean };
    result: { instance: InstanceDocument };
  };
  terminate: {
    params: { instance: string; force?: boolean };
    result: { instance: InstanceDocument };
  };
  /** Copy an object or a folder to where the Python side runs, into its download folder. */
  download: {
    params: { uri: string };
    result: { path: string; size: number };
  };
  /** Run a line of the grammar that launches a job, e.g. `train fit.py --name digits`, without `%runctl`. */
  launch: {
    params: { line: string };
    result: { job: JobDocument } | { instance: InstanceDocument };
  };
}

/** Rows of a table that have changed. The first event of a subscription holds all there are and has `reset`. */
export interface Rows<T> {
  reset: boolean;
  rows: T[];
  /** Ids of rows that are no more. */
  removed: string[];
}

/** What can be followed. */
export interface Topics {
  jobs: { params: Record<string, never>; event: Rows<JobDocument> };
  instances: { params: Record<string, never>; event: Rows<InstanceDocument> };
  costs: { params: Record<string, never>; event: CostsDocument };
  /** The card at every change, without its log and series. */
  card: { params: { job: string }; event: CardDocument };
  /** The log's live end. What lies before the first piece, or in a gap, is asked for with the query `log`. */
  log: {
    params: { job: string };
    event: { pieces: LogPiece[]; size: number; ended: boolean };
  };
  series: { params: { job: string }; event: SeriesDocument };
}

export type QueryName = keyof Queries;
export type ActionName = keyof Actions;
export type TopicName = keyof Topics;

/** How a subscription fares: `trouble` is null while it works. */
export interface StreamStatus {
  live: boolean;
  trouble: ErrorDocument | null;
}

/** A failure that the Python side has explained, or that the way to it has. */
export class BackendError extends Error {
  constructor(readonly document: ErrorDocument) {
    super(`${document.what}\n${document.to_resolve}`);
    this.name = 'BackendError';
  }
}

/** The way from a view to the engine. */
export interface Backend {
  /** `server`: through the Jupyter server; `kernel`: through a widget; `snapshot`: nothing but what was saved. */
  readonly kind: 'server' | 'kernel' | 'snapshot';
  /** Ask. Rejects with a `BackendError`, or an `AbortError` if `signal` says so. */
  query<M extends QueryName>(
    method: M,
    params: Queries[M]['params'],
    signal?: AbortSignal
  ): Promise<Queries[M]['result']>;
  /** Do. Rejects with a `BackendError`. */
  act<A extends ActionName>(action: A, params: Actions[A]['params']): Promise<Actions[A]['result']>;
  /**
   * Follow. Events come in order, at most some ten a second, until the returned function is called; over a lost
   * connection the subscription is made anew, and begins with a reset again.
   */
  subscribe<T extends TopicName>(
    topic: T,
    params: Topics[T]['params'],
    onEvent: (event: Topics[T]['event']) => void,
    onStatus?: (status: StreamStatus) => void
  ): () => void;
  /** Address from which a browser can download an object or a job's whole log; null when there is none. */
  downloadUrl(what: { uri: string } | { log: string }): string | null;
}

/** What the page around a view can do for it; what it cannot is undefined, and the view leaves the button out. */
export interface Host {
  /** Insert a code cell below the active one. */
  insertCell?: (code: string) => void;
  /** Open a job's card, full size. */
  openJob?: (job: JobDocument) => void;
  /** Open a job's log, full size. */
  openLog?: (job: JobDocument) => void;
  /** Bring checkpoints of a job to the front, in the browser of the panel. */
  openObjects?: (uri: string) => void;
}
