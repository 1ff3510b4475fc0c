import type { InputHTMLAttributes, JSX, ReactNode } from 'react';
import { useId } from 'react';

/** A text box with its label, and a hint below it. */
export function Field(
  props: Omit<InputHTMLAttributes<HTMLInputElement>, 'onChange' | 'id' | 'className'> & {
    label: string;
    hint?: ReactNode;
    mono?: boolean;
    onText: (text: string) => void;
  }
): JSX.Element {
  const { label, hint, mono, onText, ...rest } = props;
  const id = useId();
  return (
    <div className="rc-Field">
      <label htmlFor={id}>{label}</label>
      <input
        {...rest}
        id={id}
        className={mono === true ? 'rc-Input rc-mono' : 'rc-Input'}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        onChange={event => {
          onText(event.currentTarget.value);
        }}
      />
      {hint !== undefined && (
        <span id={`${id}-hint`} className="rc-dim rc-small rc-num">
          {hint}
        </span>
      )}
    </div>
  );
}
