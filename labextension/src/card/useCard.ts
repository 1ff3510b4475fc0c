import { useCallback, useEffect, useState } from 'react';

import { useConnection } from '../api/context';
import type { CardDocument, ErrorDocument, JobDocument } from '../api/documents';

/** A job's card, and whether it is the present. */
export interface LiveCard {
  /** What is known; null before anything is. */
  card: CardDocument | null;
  live: boolean;
  /** Why it is not live, when that is known. */
  trouble: ErrorDocument | null;
  /** Take a job that an action has brought. */
  take: (job: JobDocument) => void;
}

/** Follow the card of a job, beginning with what was saved of it. */
export function useCard(job: string, snapshot: CardDocument | undefined): LiveCard {
  const { backend } = useConnection();
  const [heard, setHeard] = useState<CardDocument | null>(null);
  const [live, setLive] = useState(false);
  const [trouble, setTrouble] = useState<ErrorDocument | null>(null);

  useEffect(() => {
    if (backend.kind === 'snapshot') {
      return undefined;
    }
    return backend.subscribe(
      'card',
      { job },
      event => {
        setHeard(before => merged(before, event));
        setLive(true);
        setTrouble(null);
      },
      status => {
        setTrouble(status.trouble);
        if (!status.live || status.trouble !== null) {
          setLive(false);
        }
      }
    );
  }, [backend, job]);

  const take = useCallback(
    (changed: JobDocument) => {
      setHeard(before => {
        const base = before ?? snapshot ?? null;
        return base === null ? null : { ...base, job: newer(base.job, changed) };
      });
    },
    [snapshot]
  );
  // What was saved is joined here, not where events come in: another saved view is no reason to subscribe anew.
  const card = heard === null ? (snapshot ?? null) : merged(snapshot ?? null, heard);
  return { card, live, trouble, take };
}

/** Events come without log and series; a saved view has them. */
function merged(before: CardDocument | null, event: CardDocument): CardDocument {
  if (before === null) {
    return event;
  }
  return {
    ...event,
    job: newer(before.job, event.job),
    log_tail: event.log_tail.length > 0 ? event.log_tail : before.log_tail,
    series: event.series ?? before.series
  };
}

/** An action's answer can be ahead of the next event: an attempt is never followed by an earlier one. */
function newer(before: JobDocument, after: JobDocument): JobDocument {
  return after.attempt < before.attempt ? before : after;
}
