import { useEffect, useRef, useState } from 'react';

import { useConnection } from '../api/context';
import type { ErrorDocument, SeriesDocument } from '../api/documents';
import { paced } from './paced';

/** What is known of a job's series. */
export interface Followed {
  /** Null until the first event. */
  document: SeriesDocument | null;
  trouble: ErrorDocument | null;
}

/** Numbers change at most twice a second. */
const PERIOD = 500;

const UNKNOWN: Followed = { document: null, trouble: null };

/** Follow the series of some jobs. A job that stays in the list keeps its subscription. */
export function useSeries(jobs: readonly string[]): ReadonlyMap<string, Followed> {
  const { backend } = useConnection();
  const [known, setKnown] = useState<ReadonlyMap<string, Followed>>(() => new Map());
  const open = useRef(new Map<string, () => void>());

  useEffect(() => {
    const subscriptions = open.current;
    return () => {
      for (const end of subscriptions.values()) {
        end();
      }
      subscriptions.clear();
    };
  }, [backend]);

  useEffect(() => {
    const subscriptions = open.current;
    for (const [job, end] of subscriptions) {
      if (!jobs.includes(job)) {
        end();
        subscriptions.delete(job);
      }
    }
    for (const job of jobs) {
      if (subscriptions.has(job)) {
        continue;
      }
      const note = (change: Partial<Followed>): void => {
        setKnown(all => new Map(all).set(job, { ...(all.get(job) ?? UNKNOWN), ...change }));
      };
      const pace = paced<SeriesDocument>(document => {
        note({ document });
      }, PERIOD);
      const end = backend.subscribe('series', { job }, pace.give, ({ trouble }) => {
        note({ trouble });
      });
      subscriptions.set(job, () => {
        end();
        pace.stop();
      });
    }
  }, [backend, jobs]);

  return known;
}
