import type { JSX } from 'react';

const TAIL = 8;

/** A name that loses its middle when there is no room: ends tell names apart. The whole is in its title. */
export function CutName(props: { text: string }): JSX.Element {
  const { text } = props;
  const cut = text.length > 2 * TAIL ? text.length - TAIL : text.length;
  return (
    <span className="rc-CutName" title={text}>
      <span className="rc-hidden">{text}</span>
      <span className="rc-cut" aria-hidden="true">
        {text.slice(0, cut)}
      </span>
      {cut < text.length && <span aria-hidden="true">{text.slice(cut)}</span>}
    </span>
  );
}
