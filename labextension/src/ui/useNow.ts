import { useEffect, useState } from 'react';

/** The present in milliseconds, anew every `period` milliseconds while `running`: at most two updates a second. */
export function useNow(running: boolean, period = 1000): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    if (!running) {
      return undefined;
    }
    const timer = setInterval(() => {
      setNow(Date.now());
    }, period);
    return () => {
      clearInterval(timer);
    };
  }, [running, period]);
  return now;
}
