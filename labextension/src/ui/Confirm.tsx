import type { JSX } from 'react';
import { useEffect, useRef } from 'react';

/** What is asked before something is destroyed. */
export interface Question {
  /** E.g. `Terminate dev-box?` */
  title: string;
  /** What is lost. */
  lost: string;
  /** What is kept. */
  kept: string;
  /** The word on the button, e.g. `Terminate`. */
  verb: string;
}

/** A question in place, not a modal: asked once, Escape says no. */
export function Confirm(props: Question & { onYes: () => void; onNo: () => void }): JSX.Element {
  const yes = useRef<HTMLButtonElement>(null);
  useEffect(() => {
    yes.current?.focus();
  }, []);
  return (
    <div
      className="rc-Confirm"
      role="alertdialog"
      aria-label={props.title}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          props.onNo();
        }
      }}
    >
      <strong>{props.title}</strong>
      <span>
        Lost: {props.lost} Kept: {props.kept}
      </span>
      <span className="rc-Confirm-buttons">
        <button
          ref={yes}
          type="button"
          className="rc-Button rc-Button-danger"
          onClick={props.onYes}
        >
          {props.verb}
        </button>
        <button type="button" className="rc-Button" onClick={props.onNo}>
          Keep it
        </button>
      </span>
    </div>
  );
}
