import type { JSX } from 'react';

import type { Line } from './lines';
import type { Unit } from './plotOptions';
import { lineText, valueText } from './reading';

/** A chart in words, for those who do not see it. */
export function Summary(props: {
  title: string;
  lines: Line[];
  unit: Unit;
  notes: string[];
}): JSX.Element {
  return (
    <div className="rc-hidden">
      <table>
        <caption>{props.title}</caption>
        <thead>
          <tr>
            <th scope="col">series</th>
            <th scope="col">last</th>
            <th scope="col">least</th>
            <th scope="col">most</th>
            <th scope="col">points</th>
          </tr>
        </thead>
        <tbody>
          {props.lines.map(line => (
            <SummaryRow key={line.key} line={line} unit={props.unit} />
          ))}
        </tbody>
      </table>
      {props.notes.length > 0 && (
        <ul>
          {props.notes.map((note, index) => (
            <li key={index}>{note}</li>
          ))}
        </ul>
      )}
    </div>
  );
}

function SummaryRow(props: { line: Line; unit: Unit }): JSX.Element {
  const { count, last, least, most } = summaryOf(props.line.values);
  return (
    <tr>
      <th scope="row">{lineText(props.line)}</th>
      <td>{valueText(last, props.unit)}</td>
      <td>{valueText(least, props.unit)}</td>
      <td>{valueText(most, props.unit)}</td>
      <td>{count}</td>
    </tr>
  );
}

interface Extremes {
  count: number;
  last: number | null;
  least: number | null;
  most: number | null;
}

/** What a line comes to; gaps do not count. */
export function summaryOf(values: readonly (number | null)[]): Extremes {
  let count = 0;
  let last: number | null = null;
  let [least, most] = [Infinity, -Infinity];
  for (const value of values) {
    if (value !== null) {
      count += 1;
      last = value;
      least = value < least ? value : least;
      most = value > most ? value : most;
    }
  }
  return count > 0 ? { count, last, least, most } : { count, last, least: null, most: null };
}
