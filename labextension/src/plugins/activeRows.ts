import type { IDisposable } from '@lumino/disposable';
import type { ISignal } from '@lumino/signaling';
import { Signal } from '@lumino/signaling';

import type { Backend, Rows } from '../api/backend';
import type { InstanceDocument, JobDocument } from '../api/documents';

const ACTIVE = new Set(['queued', 'starting', 'running']);
const BILLED = new Set(['pending', 'running']);

/** Counts what runs now, for the status bar. */
export class ActiveRows implements IDisposable {
  private readonly active = new Set<string>();
  private readonly prices = new Map<string, number | null>();
  private readonly stops: (() => void)[];
  private readonly signal = new Signal<this, void>(this);

  constructor(backend: Backend) {
    this.stops = [
      backend.subscribe('jobs', {}, rows => {
        this.takeJobs(rows);
      }),
      backend.subscribe('instances', {}, rows => {
        this.takeInstances(rows);
      })
    ];
  }

  get changed(): ISignal<this, void> {
    return this.signal;
  }

  get jobs(): number {
    return this.active.size;
  }

  get machines(): number {
    return this.prices.size;
  }

  /** Dollars an hour of all machines; null when a price is unknown. */
  get pricePerHour(): number | null {
    let sum = 0;
    for (const price of this.prices.values()) {
      if (price === null) {
        return null;
      }
      sum += price;
    }
    return sum;
  }

  get isDisposed(): boolean {
    return this.stops.length === 0;
  }

  dispose(): void {
    for (const stop of this.stops.splice(0)) {
      stop();
    }
    Signal.clearData(this);
  }

  private takeJobs(rows: Rows<JobDocument>): void {
    forget(this.active, rows);
    for (const row of rows.rows) {
      if (ACTIVE.has(row.state)) {
        this.active.add(row.id);
      } else {
        this.active.delete(row.id);
      }
    }
    this.signal.emit();
  }

  private takeInstances(rows: Rows<InstanceDocument>): void {
    forget(this.prices, rows);
    for (const row of rows.rows) {
      if (BILLED.has(row.state)) {
        this.prices.set(row.id, row.price_per_hour);
      } else {
        this.prices.delete(row.id);
      }
    }
    this.signal.emit();
  }
}

function forget(
  held: { clear: () => void; delete: (id: string) => unknown },
  rows: Rows<unknown>
): void {
  if (rows.reset) {
    held.clear();
  }
  for (const id of rows.removed) {
    held.delete(id);
  }
}
