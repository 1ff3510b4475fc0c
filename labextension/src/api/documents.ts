/**
 * What the Python side says, as JSON. The same documents travel over HTTP, the event stream, a widget's messages and
 * in the mime bundle of a saved notebook. Times are ISO 8601 UTC unless a name says otherwise.
 */

export type JobState =
  | 'queued'
  | 'starting'
  | 'running'
  | 'succeeded'
  | 'failed'
  | 'cancelled'
  | 'interrupted'
  | 'capped'
  | 'lost';

/** EC2's word for an instance. */
export type InstanceState =
  'pending' | 'running' | 'stopping' | 'stopped' | 'shutting-down' | 'terminated';

/** An error in two lines: what failed, what to do. */
export interface ErrorDocument {
  /** A word for programs, e.g. `job-not-found`. */
  error: string;
  what: string;
  to_resolve: string;
}

export interface Cause {
  kind: string;
  message: string;
  signal: number | null;
}

/** A part of a job's life; the last one is open while the job lives. */
export interface Phase {
  /** `capacity`, `boot`, `code`, `environment`, `data`, `training`, `saving`. */
  name: string;
  began_at: string;
  ended_at: string | null;
  /** What it is doing or why it takes long, if known. */
  detail: string;
}

export interface Progress {
  step: number | null;
  total: number | null;
  /** Estimated seconds to the end. */
  left_s: number | null;
}

export interface GpuSample {
  percent: number;
  memory_used: number;
  memory_total: number;
}

/** How busy the machine is; bytes and per cent. */
export interface MachineSample {
  time: string;
  cpu_percent: number | null;
  memory_used: number | null;
  memory_total: number | null;
  gpus: GpuSample[];
}

/** How an earlier attempt went. */
export interface AttemptDocument {
  number: number;
  state: JobState;
  started_at: string | null;
  ended_at: string | null;
  cause: Cause | null;
}

/** USD by part: `machine disk address storage requests`, as far as they are known. */
export interface CostParts {
  total: number | null;
  /** Parts that cost more than is said here. */
  unknown: string[];
  [part: string]: number | null | string[];
}

/** A job as its record has it. */
export interface JobDocument {
  id: string;
  name: string;
  state: JobState;
  phase: string;
  attempt: number;
  exit_code: number | null;
  cause: Cause | null;
  instance_id: string | null;
  instance_type: string | null;
  spot: boolean;
  target: string;
  region: string | null;
  owner: string;
  price_per_hour: number | null;
  /** Where the price is from, and how old that was at launch. */
  price_source?: string | null;
  cost_usd: number | null;
  cost_parts?: CostParts;
  /** Money the attempt may cost; null without a cap. */
  max_cost_usd: number | null;
  /** When its time limit ends it at the latest. */
  ends_at: string | null;
  created_at: string;
  started_at: string | null;
  ended_at: string | null;
  /** The last heartbeat. */
  updated_at: string;
  log_bytes: number;
  checkpoint_count: number;
  output_count: number;
  output_bytes: number;
  script: string;
  arguments: string[];
  phases: Phase[];
  progress: Progress | null;
  /** Last value of each metric. */
  metrics: Record<string, number>;
  machine: MachineSample | null;
  earlier: AttemptDocument[];
}

/** A checkpoint. */
export interface CheckpointDocument {
  uri: string;
  name: string;
  step: number | null;
  metrics: Record<string, number>;
  size: number;
  created_at: string;
  format: string;
  complete: boolean;
  /** Null for one that no job has saved. */
  job_id: string | null;
  attempt: number | null;
  /** Absent in what an earlier version has saved, as `best`. */
  epoch?: number | null;
  seq: number;
  latest: boolean;
  best?: boolean;
}

/** One metric over a job's life; the three lists have the same length. */
export interface Series {
  name: string;
  steps: (number | null)[];
  /** Seconds since 1970. */
  times: number[];
  values: (number | null)[];
  source: 'log' | 'tensorboard';
}

/** The machine over a job's life; lists have the length of `times`. */
export interface MachineSeries {
  times: number[];
  cpu_percent: (number | null)[];
  memory_used: (number | null)[];
  memory_total: number | null;
  gpu_percent: (number | null)[];
  gpu_memory_used: (number | null)[];
  gpu_memory_total: number | null;
}

/** Something that happened to the job, on the time axis. */
export interface Mark {
  /** Seconds since 1970. */
  time: number;
  step: number | null;
  kind: 'interrupted' | 'resumed';
  text: string;
}

export interface SeriesDocument {
  series: Series[];
  machine: MachineSeries | null;
  marks: Mark[];
}

/** Everything a card shows at one moment; also what a saved notebook keeps of it. */
export interface CardDocument {
  job: JobDocument;
  checkpoints: CheckpointDocument[];
  /** Last lines of the log. */
  log_tail: string[];
  series: SeriesDocument | null;
  /** When this was read. */
  as_of: string;
  /** A trouble with reading, in a sentence; empty when there is none. */
  note: string;
}

/** A piece of a job's log: bytes `start` to `end` of the whole log, all attempts one after the other. */
export interface LogPiece {
  start: number;
  end: number;
  /** When its last byte was read from the script. */
  time: string | null;
  /** Whose words they are: the script's or the runner's. */
  origin: 'script' | 'runner';
  text: string;
}

export interface LogPage {
  pieces: LogPiece[];
  /** Bytes that the log has now. */
  size: number;
  /** Whether nothing will be added any more. */
  ended: boolean;
}

export interface InstanceDocument {
  id: string;
  name: string;
  state: InstanceState;
  instance_type: string;
  spot: boolean;
  availability_zone: string;
  launched_at: string;
  price_per_hour: number | null;
  /** Where the price is from, and how old that is. */
  price_source?: string;
  cost_usd: number | null;
  cost_parts?: CostParts;
  owner: string;
  expires_at: string | null;
  state_reason: string;
  /** Whether a tag forbids to end it. */
  protected?: boolean;
  /** Jobs that run on it. */
  jobs: { id: string; name: string }[];
  gpu_percent: number | null;
}

/** What the sums are of: an estimate at list prices, never billing data. */
export interface CostsDocument {
  price_per_hour: number | null;
  running_usd: number | null;
  today_usd: number;
  week_usd: number;
  /** The dearest jobs of the week. */
  jobs: { id: string; name: string; cost_usd: number; ended: boolean }[];
}

/** Where one is. */
export interface PlaceDocument {
  target: string;
  region: string | null;
  bucket: string | null;
  /** `s3://` address of the record, for the browser to begin with; null on target local. */
  root: string | null;
  identity: string | null;
  /** The name that tags of this user's machines bear. */
  user: string;
  mode: string | null;
}

/** A level of a bucket, one page of it. */
export interface ObjectPage {
  uri: string;
  prefixes: { name: string; uri: string }[];
  objects: ObjectDocument[];
  /** Give it as `token` to get the next page; null at the end. */
  next: string | null;
}

export interface ObjectDocument {
  name: string;
  uri: string;
  size: number;
  last_modified: string;
}

/** The beginning of an object, for people. */
export interface PreviewDocument {
  uri: string;
  size: number;
  kind: 'text' | 'json' | 'tensors' | 'binary';
  text: string;
  truncated: boolean;
  facts: [string, string][];
}

/** A machine type with its price. */
export interface TypeDocument {
  name: string;
  vcpus: number | null;
  memory_gib: number | null;
  gpus: number;
  price_per_hour: number | null;
}
