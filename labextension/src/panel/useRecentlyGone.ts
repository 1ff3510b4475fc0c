import { useEffect, useState } from 'react';

import type { InstanceDocument } from '../api/documents';
import { isGone } from './machineRows';

const SHOWN_MS = 60_000;

/** Ids of machines that were seen to end a moment ago: they stay in sight for a while. */
export function useRecentlyGone(rows: ReadonlyMap<string, InstanceDocument>): ReadonlySet<string> {
  const [seen, setSeen] = useState<{
    alive: ReadonlySet<string>;
    gone: ReadonlyMap<string, number>;
  }>({ alive: new Set(), gone: new Map() });
  useEffect(() => {
    setSeen(before => {
      const alive = new Set<string>();
      const gone = new Map(before.gone);
      for (const machine of rows.values()) {
        if (!isGone(machine)) {
          alive.add(machine.id);
          gone.delete(machine.id);
        } else if (before.alive.has(machine.id)) {
          gone.set(machine.id, Date.now() + SHOWN_MS);
        }
      }
      return { alive, gone };
    });
  }, [rows]);
  useEffect(() => {
    const first = Math.min(...seen.gone.values());
    if (!Number.isFinite(first)) {
      return undefined;
    }
    const timer = setTimeout(
      () => {
        setSeen(before => ({
          ...before,
          gone: new Map([...before.gone].filter(([, until]) => until > Date.now()))
        }));
      },
      Math.max(0, first - Date.now())
    );
    return () => {
      clearTimeout(timer);
    };
  }, [seen]);
  return new Set(seen.gone.keys());
}
