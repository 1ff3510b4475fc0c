import type { JSX, ReactNode } from 'react';
import { createContext, useCallback, useContext, useEffect, useMemo, useState } from 'react';

import { copyText } from '../ui/copyText';

const SHOWN_MS = 8000;

interface Notice {
  text: string;
  /** Something to take away by hand, where the browser does not let a page copy. */
  code: string | null;
}

/** Ways to tell of what has been done. */
export interface Notices {
  say: (text: string) => void;
  /** Put text into the clipboard and say so, or show it. */
  copy: (text: string) => void;
}

const NoticesContext = createContext<Notices | null>(null);

/** The panel's ways to tell of what has been done. */
export function useNotices(): Notices {
  const notices = useContext(NoticesContext);
  if (notices === null) {
    throw new Error('a part of the panel needs a NoticesProvider around it');
  }
  return notices;
}

/** Gives the views in it `useNotices`, and shows the last notice below them. */
export function NoticesProvider(props: { children: ReactNode }): JSX.Element {
  const [notice, setNotice] = useState<Notice | null>(null);
  useEffect(() => {
    if (notice?.code !== null) {
      return undefined;
    }
    const timer = setTimeout(() => {
      setNotice(null);
    }, SHOWN_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [notice]);
  const say = useCallback((text: string) => {
    setNotice({ text, code: null });
  }, []);
  const copy = useCallback((text: string) => {
    void copyText(text).then(done => {
      setNotice(
        done ? { text: `Copied: ${text}`, code: null } : { text: 'Copy this by hand:', code: text }
      );
    });
  }, []);
  const notices = useMemo(() => ({ say, copy }), [say, copy]);
  return (
    <NoticesContext.Provider value={notices}>
      {props.children}
      <div className="rc-Panel-notice" role="status">
        {notice !== null && (
          <>
            <span className={notice.code === null ? 'rc-cut' : undefined} title={notice.text}>
              {notice.text}
            </span>
            {notice.code !== null && (
              <>
                <input
                  className="rc-Input rc-mono"
                  aria-label="Text to copy"
                  readOnly
                  value={notice.code}
                  onFocus={event => {
                    event.currentTarget.select();
                  }}
                />
                <button
                  type="button"
                  className="rc-Button rc-Button-quiet"
                  onClick={() => {
                    setNotice(null);
                  }}
                >
                  Close
                </button>
              </>
            )}
          </>
        )}
      </div>
    </NoticesContext.Provider>
  );
}
