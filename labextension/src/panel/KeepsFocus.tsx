import type { JSX, ReactNode } from 'react';
import { useLayoutEffect, useRef } from 'react';

/** Something below a row; if it goes while it has the focus, the row gets it, and the keyboard goes on from there. */
export function KeepsFocus(props: { children: ReactNode }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  useLayoutEffect(() => {
    const element = box.current;
    return () => {
      if (element?.contains(document.activeElement) === true) {
        element.closest('li')?.querySelector<HTMLElement>('[data-row-main]')?.focus();
      }
    };
  }, []);
  return <div ref={box}>{props.children}</div>;
}
