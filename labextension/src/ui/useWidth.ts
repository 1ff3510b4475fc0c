import type { RefObject } from 'react';
import { useLayoutEffect, useState } from 'react';

/** The width of an element in pixels, null until it is known. */
export function useWidth(element: RefObject<HTMLElement>): number | null {
  const [width, setWidth] = useState<number | null>(null);
  useLayoutEffect(() => {
    const target = element.current;
    if (target === null || typeof ResizeObserver === 'undefined') {
      return undefined;
    }
    const observer = new ResizeObserver(entries => {
      const box = entries.at(-1)?.contentRect;
      // A hidden tab has no width; what was known of it stays.
      if (box !== undefined && box.width > 0) {
        setWidth(box.width);
      }
    });
    observer.observe(target);
    return () => {
      observer.disconnect();
    };
  }, [element]);
  return width;
}
