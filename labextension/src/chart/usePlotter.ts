import { useEffect, useState } from 'react';

import type { Plotter } from './plotOptions';

/** A page that cannot draw (no canvas, no media queries) has the table of values instead. */
function canDraw(): boolean {
  return (
    typeof window.matchMedia === 'function' &&
    document.createElement('canvas').getContext('2d') !== null
  );
}

/** The plotting library, loaded at the first chart: pages without one do not pay for it. */
export function usePlotter(): { plotter: Plotter | null; failed: boolean } {
  const [plotter, setPlotter] = useState<Plotter | null>(null);
  const [failed, setFailed] = useState(false);
  useEffect(() => {
    let wanted = canDraw();
    if (wanted) {
      import('uplot').then(
        loaded => {
          if (wanted) {
            setPlotter(() => loaded.default);
          }
        },
        () => {
          setFailed(wanted);
        }
      );
    }
    return () => {
      wanted = false;
    };
  }, []);
  return { plotter, failed };
}
