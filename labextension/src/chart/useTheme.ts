import type { RefObject } from 'react';
import { useLayoutEffect, useState } from 'react';

import { luminance } from './palette';

/** What a canvas has to know of the page's look: it does not inherit styles. */
export interface Theme {
  dark: boolean;
  text: string;
  grid: string;
  font: string;
}

const UNREAD: Theme = { dark: false, text: '#5d636b', grid: '#e3e5e9', font: 'sans-serif' };

function themeOf(element: HTMLElement): Theme {
  const style = getComputedStyle(element);
  const variable = (name: string, fallback: string): string => {
    const value = style.getPropertyValue(name).trim();
    return value === '' ? fallback : value;
  };
  return {
    // Text is light on dark, whatever a theme calls itself.
    dark: (luminance(style.color) ?? 0) > 0.4,
    text: variable('--rc-fg2', UNREAD.text),
    grid: variable('--rc-bd', UNREAD.grid),
    font: style.fontFamily === '' ? UNREAD.font : style.fontFamily
  };
}

/** The look at `element`, read anew when the page's theme changes. */
export function useTheme(element: RefObject<HTMLElement>): Theme {
  const [theme, setTheme] = useState(UNREAD);
  useLayoutEffect(() => {
    const read = (): void => {
      if (element.current !== null) {
        const now = themeOf(element.current);
        setTheme(known => (JSON.stringify(known) === JSON.stringify(now) ? known : now));
      }
    };
    read();
    const observer = new MutationObserver(read);
    for (const place of [document.documentElement, document.body]) {
      observer.observe(place, {
        attributeFilter: ['class', 'style', 'data-jp-theme-light', 'data-jp-theme-name']
      });
    }
    return () => {
      observer.disconnect();
    };
  }, [element]);
  return theme;
}
