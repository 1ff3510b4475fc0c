import { useEffect, useState } from 'react';

import type { StreamStatus } from '../api/backend';
import { useConnection } from '../api/context';
import { LogModel } from './LogModel';

/** A job's log, how its live end fares, and a number that is another one whenever something has changed. */
export interface FollowedLog {
  model: LogModel;
  status: StreamStatus | null;
  version: number;
}

/** Follow a job's log. However much comes, it is drawn once a frame. */
export function useLog(job: string): FollowedLog | null {
  const { backend } = useConnection();
  const [followed, setFollowed] = useState<FollowedLog | null>(null);
  useEffect(() => {
    const stop = new AbortController();
    let frame: number | null = null;
    let version = 0;
    let status: StreamStatus | null = null;
    const draw = (): void => {
      frame ??= requestAnimationFrame(() => {
        frame = null;
        version += 1;
        setFollowed({ model, status, version });
      });
    };
    const model = new LogModel(
      (start, limit) => backend.query('log', { job, start, limit }, stop.signal),
      draw
    );
    const unsubscribe = backend.subscribe(
      'log',
      { job },
      event => {
        model.receive(event);
      },
      now => {
        status = now;
        draw();
      }
    );
    model.open();
    draw();
    return () => {
      unsubscribe();
      model.close();
      stop.abort();
      if (frame !== null) {
        cancelAnimationFrame(frame);
      }
      setFollowed(null);
    };
  }, [backend, job]);
  return followed;
}

/** What the job is doing while it has not printed anything, in words; empty if nobody knows. */
export function usePhase(job: string, wanted: boolean): string {
  const { backend } = useConnection();
  const [phase, setPhase] = useState('');
  useEffect(() => {
    if (!wanted) {
      return undefined;
    }
    return backend.subscribe('card', { job }, card => {
      const now = card.job.phases.at(-1);
      setPhase(now === undefined ? '' : `${now.name}${now.detail === '' ? '' : `: ${now.detail}`}`);
    });
  }, [backend, job, wanted]);
  return phase;
}
