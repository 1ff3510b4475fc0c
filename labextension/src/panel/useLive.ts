import { useCallback, useEffect, useState } from 'react';

import type { Rows, StreamStatus, Topics } from '../api/backend';
import { useConnection } from '../api/context';
import type { CostsDocument, ErrorDocument } from '../api/documents';

/** How what is shown came here. */
export interface Freshness {
  /** Whether anything has come yet. */
  loaded: boolean;
  trouble: ErrorDocument | null;
  /** Since when nothing new comes, in milliseconds; null while it does. */
  staleSince: number | null;
}

/** Rows that are followed. */
export interface LiveRows<T> extends Freshness {
  rows: ReadonlyMap<string, T>;
  /** Take in a row that an action has answered with, before the topic brings it. */
  put: (row: T) => void;
}

/** Return `held` with an event's changes. */
export function applyRows<T extends { id: string }>(
  held: ReadonlyMap<string, T>,
  event: Rows<T>
): ReadonlyMap<string, T> {
  const next = new Map(event.reset ? [] : held);
  for (const id of event.removed) {
    next.delete(id);
  }
  for (const row of event.rows) {
    next.set(row.id, row);
  }
  return next;
}

const WORKS: StreamStatus = { live: true, trouble: null };

function useStatus(): [Pick<Freshness, 'trouble' | 'staleSince'>, (status: StreamStatus) => void] {
  const [held, setHeld] = useState<Pick<Freshness, 'trouble' | 'staleSince'>>({
    trouble: null,
    staleSince: null
  });
  const take = useCallback(({ trouble }: StreamStatus) => {
    setHeld(before => {
      if (trouble === null) {
        return before.trouble === null ? before : { trouble, staleSince: null };
      }
      return { trouble, staleSince: before.staleSince ?? Date.now() };
    });
  }, []);
  return [held, take];
}

type RowOf<K extends 'jobs' | 'instances'> = Topics[K]['event']['rows'][number];

/** Follow jobs or instances. */
export function useRows<K extends 'jobs' | 'instances'>(topic: K): LiveRows<RowOf<K>> {
  const { backend } = useConnection();
  const [rows, setRows] = useState<ReadonlyMap<string, RowOf<K>>>(new Map());
  const [loaded, setLoaded] = useState(false);
  const [status, takeStatus] = useStatus();
  useEffect(
    () =>
      backend.subscribe(
        topic,
        {},
        event => {
          setRows(held => applyRows(held, event as Rows<RowOf<K>>));
          setLoaded(true);
          takeStatus(WORKS);
        },
        takeStatus
      ),
    [backend, topic, takeStatus]
  );
  const put = useCallback((row: RowOf<K>) => {
    setRows(held => applyRows(held, { reset: false, rows: [row], removed: [] }));
  }, []);
  return { rows, loaded, put, ...status };
}

/** Follow the sums. */
export function useCosts(): Freshness & { costs: CostsDocument | null } {
  const { backend } = useConnection();
  const [costs, setCosts] = useState<CostsDocument | null>(null);
  const [status, takeStatus] = useStatus();
  useEffect(
    () =>
      backend.subscribe(
        'costs',
        {},
        event => {
          setCosts(event);
          takeStatus(WORKS);
        },
        takeStatus
      ),
    [backend, takeStatus]
  );
  return { costs, loaded: costs !== null, ...status };
}
