import type { JSX, ReactNode } from 'react';

import type { View } from './lines';

/** How the curves are drawn. */
export function Controls(props: {
  view: View;
  /** Whether there are steps to count by. */
  hasSteps: boolean;
  onView: (view: View) => void;
  children?: ReactNode;
}): JSX.Element {
  const { view, onView } = props;
  return (
    <div className="rc-Controls" role="group" aria-label="how the curves are drawn">
      <Choice
        label="y axis"
        options={[
          { word: 'Linear', on: !view.log, view: { ...view, log: false } },
          { word: 'Log', on: view.log, view: { ...view, log: true } }
        ]}
        onView={onView}
      />
      <Choice
        label="x axis"
        options={[
          {
            word: 'Step',
            on: view.kind === 'step',
            view: { ...view, kind: 'step' },
            ...(props.hasSteps ? {} : { why: 'The script prints no steps that go up.' })
          },
          { word: 'Time', on: view.kind === 'time', view: { ...view, kind: 'time' } }
        ]}
        onView={onView}
      />
      <label className="rc-Smoothing rc-dim">
        Smoothing
        <input
          type="range"
          min={0}
          max={0.99}
          step={0.01}
          value={view.smoothing}
          onChange={event => {
            onView({ ...view, smoothing: event.target.valueAsNumber });
          }}
        />
        <output className="rc-num">{view.smoothing.toFixed(2)}</output>
      </label>
      {props.children}
    </div>
  );
}

interface Option {
  word: string;
  on: boolean;
  view: View;
  /** Why it cannot be chosen. */
  why?: string;
}

function Choice(props: {
  label: string;
  options: Option[];
  onView: (view: View) => void;
}): JSX.Element {
  return (
    <div className="rc-Choice" role="group" aria-label={props.label}>
      {props.options.map(option => (
        <button
          key={option.word}
          type="button"
          className="rc-Button rc-Button-quiet"
          aria-pressed={option.on}
          disabled={option.why !== undefined}
          title={option.why}
          onClick={() => {
            props.onView(option.view);
          }}
        >
          {option.word}
        </button>
      ))}
    </div>
  );
}
