import type { JSX, ReactNode } from 'react';

import { cutMiddle } from '../ui/format';
import type { Line } from './lines';
import type { Unit } from './plotOptions';
import type { Reading } from './reading';
import { lineText, valueText } from './reading';

/** Which line is which, and what each reads at the cursor. */
export function Legend(props: {
  readings: Reading[];
  unit: Unit;
  children?: ReactNode;
}): JSX.Element {
  return (
    <ul className="rc-Legend rc-num">
      {props.readings.map(reading => (
        <LegendEntry key={reading.line.key} reading={reading} unit={props.unit} />
      ))}
      {props.children}
    </ul>
  );
}

function LegendEntry(props: { reading: Reading; unit: Unit }): JSX.Element {
  const { line, value, measured } = props.reading;
  return (
    <li title={lineText(line)}>
      <Swatch line={line} />
      <span className="rc-cut">{cutMiddle(line.name, 32)}</span>
      {line.of !== '' && <span className="rc-dim rc-cut">{cutMiddle(line.of, 24)}</span>}
      <span className="rc-Legend-value">{valueText(value, props.unit)}</span>
      {line.ys !== line.values && (
        <span className="rc-Legend-value rc-dim" title="as measured, not smoothed">
          {valueText(measured, props.unit)}
        </span>
      )}
    </li>
  );
}

/** A piece of a line. */
function Swatch(props: { line: Line }): JSX.Element {
  return (
    <svg className="rc-Swatch" viewBox="0 0 20 8" aria-hidden="true">
      <line
        x1="0"
        x2="20"
        y1="4"
        y2="4"
        stroke={props.line.color}
        strokeWidth="2"
        strokeDasharray={props.line.dash.join(' ')}
      />
    </svg>
  );
}
