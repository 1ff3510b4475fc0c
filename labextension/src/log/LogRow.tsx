import type { JSX, RefCallback } from 'react';
import { memo } from 'react';

import { countText } from '../ui/format';
import type { Part } from './lineParts';
import { DRAWN, lineParts } from './lineParts';

interface RowProps {
  /** Place in the list, for the list to know what it measures. */
  index: number;
  text: string;
  time: string | null;
  runner: boolean;
  /** Whether times are shown. */
  times: boolean;
  pattern: RegExp | null;
  /** Whether it is the line that the search has come to. */
  current: boolean;
  /** Where heights differ, how a row is measured. */
  measure: RefCallback<HTMLDivElement> | undefined;
}

/** A line of the log. What a job has printed only ever becomes text, never markup. */
export const LogRow = memo(function LogRow(props: RowProps): JSX.Element {
  const classes = ['rc-Log-line'];
  if (props.runner) {
    classes.push('rc-dim');
  }
  if (props.current) {
    classes.push('rc-Log-current');
  }
  const parts = lineParts(props.text.slice(0, DRAWN), props.pattern);
  return (
    <div ref={props.measure} data-index={props.index} className={classes.join(' ')}>
      {props.times && <span className="rc-Log-time">{clockText(props.time)}</span>}
      {parts.map((part, index) => (
        <Piece key={index} part={part} />
      ))}
      {props.text.length > DRAWN && (
        <span className="rc-dim"> … {countText(props.text.length - DRAWN)} more characters</span>
      )}
      {'\n'}
    </div>
  );
});

function Piece({ part }: { part: Part }): JSX.Element | string {
  const text = part.found ? <mark className="rc-Log-found">{part.text}</mark> : part.text;
  if (part.href !== null) {
    return (
      <a href={part.href} target="_blank" rel="noopener noreferrer" className={part.className}>
        {text}
      </a>
    );
  }
  if (part.color === null && part.background === null && part.className === '') {
    return <>{text}</>;
  }
  return (
    <span className={part.className} style={colours(part)}>
      {text}
    </span>
  );
}

/** A colour without a name is mixed with the page's, so that it can be read on light and on dark. */
function colours(part: Part): Record<string, string> {
  const style: Record<string, string> = {};
  if (part.color !== null) {
    style.color = `color-mix(in srgb, rgb(${part.color}) 45%, var(--rc-fg))`;
  }
  if (part.background !== null) {
    style.background = `color-mix(in srgb, rgb(${part.background}) 25%, transparent)`;
  }
  return style;
}

/** Local time of day, always eight characters wide. */
function clockText(iso: string | null): string {
  if (iso === null) {
    return '        ';
  }
  const time = new Date(iso);
  return [time.getHours(), time.getMinutes(), time.getSeconds()]
    .map(number => String(number).padStart(2, '0'))
    .join(':');
}
