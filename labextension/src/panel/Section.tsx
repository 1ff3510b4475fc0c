import type { JSX, ReactNode } from 'react';
import { useId } from 'react';

/** A part of the panel with a head that folds it. */
export function Section(props: {
  title: string;
  /** A count or sum at the right of the head. */
  summary?: string;
  open: boolean;
  onToggle: (open: boolean) => void;
  children: ReactNode;
}): JSX.Element {
  const id = useId();
  return (
    <section className="rc-Section" aria-labelledby={id}>
      <h2 className="rc-Section-head">
        <button
          type="button"
          id={id}
          aria-expanded={props.open}
          onClick={() => {
            props.onToggle(!props.open);
          }}
        >
          <svg viewBox="0 0 10 10" aria-hidden="true">
            <path d="M3 1l4 4-4 4" fill="none" stroke="currentColor" strokeWidth="1.5" />
          </svg>
          <span>{props.title}</span>
          {props.summary !== undefined && (
            <span className="rc-Section-summary rc-num">{props.summary}</span>
          )}
        </button>
      </h2>
      {props.open && <div className="rc-Section-body">{props.children}</div>}
    </section>
  );
}
