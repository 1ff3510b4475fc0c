import { useCallback, useEffect, useState } from 'react';

import type { ErrorDocument } from '../api/documents';
import { errorOf } from '../ui/errorOf';

interface Row {
  id: string;
  state: string;
}

/** Actions on rows that show at once and correct themselves. */
export interface Pending<V extends string> {
  /** What was asked of a row and has not shown its effect yet. */
  of: (row: Row) => V | null;
  /** Why the last action on a row failed. */
  trouble: (id: string) => ErrorDocument | null;
  /** Do it: the row shows `verb` until its state changes, or the reason if it fails. */
  run: (row: Row, verb: V, work: () => Promise<void>) => void;
  dismiss: (id: string) => void;
}

/** Hold what was asked of `rows` until they show it. */
export function usePending<V extends string>(rows: ReadonlyMap<string, Row>): Pending<V> {
  const [asked, setAsked] = useState<ReadonlyMap<string, { verb: V; from: string }>>(new Map());
  const [troubles, setTroubles] = useState<ReadonlyMap<string, ErrorDocument>>(new Map());

  useEffect(() => {
    // Once a row has moved on the promise is kept; coming back to that state later is another story.
    setAsked(held => {
      const open = [...held].filter(([id, { from }]) => rows.get(id)?.state === from);
      return open.length === held.size ? held : new Map(open);
    });
  }, [rows]);

  const run = useCallback((row: Row, verb: V, work: () => Promise<void>) => {
    setAsked(held => new Map(held).set(row.id, { verb, from: row.state }));
    setTroubles(held => without(held, row.id));
    work().catch((thrown: unknown) => {
      setAsked(held => without(held, row.id));
      setTroubles(held => new Map(held).set(row.id, errorOf(thrown)));
    });
  }, []);
  const dismiss = useCallback((id: string) => {
    setTroubles(held => without(held, id));
  }, []);
  return {
    of: row => {
      const held = asked.get(row.id);
      return held?.from === row.state ? held.verb : null;
    },
    trouble: id => troubles.get(id) ?? null,
    run,
    dismiss
  };
}

function without<T>(held: ReadonlyMap<string, T>, id: string): ReadonlyMap<string, T> {
  if (!held.has(id)) {
    return held;
  }
  const rest = new Map(held);
  rest.delete(id);
  return rest;
}
