import type { JSX } from 'react';

/** A `--param` in the form; with a range it has a slider. */
export interface ParameterRow {
  key: number;
  name: string;
  value: string;
  /** Null while no range is asked for. */
  range: { min: string; max: string } | null;
}

const STEPS = 100;

/** The `--param`s of the form: name, value, and a slider where there is a range. */
export function ParameterRows(props: {
  rows: ParameterRow[];
  onChange: (rows: ParameterRow[]) => void;
}): JSX.Element {
  const { rows, onChange } = props;
  const change = (key: number, changes: Partial<ParameterRow>): void => {
    onChange(rows.map(row => (row.key === key ? { ...row, ...changes } : row)));
  };
  return (
    <fieldset className="rc-Launch-params">
      <legend>Parameters</legend>
      {rows.map((row, index) => (
        <Row
          key={row.key}
          row={row}
          label={row.name === '' ? `parameter ${String(index + 1)}` : row.name}
          onChange={changes => {
            change(row.key, changes);
          }}
          onRemove={() => {
            onChange(rows.filter(each => each.key !== row.key));
          }}
        />
      ))}
      <button
        type="button"
        className="rc-Button"
        onClick={() => {
          const key = Math.max(0, ...rows.map(row => row.key)) + 1;
          onChange([...rows, { key, name: '', value: '', range: null }]);
        }}
      >
        Add a parameter
      </button>
    </fieldset>
  );
}

function Row(props: {
  row: ParameterRow;
  label: string;
  onChange: (changes: Partial<ParameterRow>) => void;
  onRemove: () => void;
}): JSX.Element {
  const { row, label, onChange } = props;
  const { range } = row;
  const limits = range === null ? null : limitsOf(range);
  return (
    <div className="rc-Launch-param" role="group" aria-label={label}>
      <div className="rc-Launch-pair">
        <input
          className="rc-Input rc-mono"
          aria-label="Name"
          placeholder="name"
          spellCheck={false}
          // As the script finds it in RUNCTL_PARAM_<NAME>.
          pattern="[A-Za-z_][A-Za-z0-9_.\-]*"
          title="Letters, digits and _, e.g. lr"
          value={row.name}
          onChange={event => {
            onChange({ name: event.currentTarget.value });
          }}
        />
        <input
          className="rc-Input rc-mono rc-num"
          aria-label={`Value of ${label}`}
          placeholder="value"
          spellCheck={false}
          value={row.value}
          onChange={event => {
            onChange({ value: event.currentTarget.value });
          }}
        />
        <button
          type="button"
          className="rc-Button rc-Button-quiet"
          aria-pressed={range !== null}
          title="Set it with a slider between two numbers"
          onClick={() => {
            onChange({ range: range === null ? { min: '0', max: '1' } : null });
          }}
        >
          Range
        </button>
        <button
          type="button"
          className="rc-Button rc-Button-quiet"
          aria-label={`Remove ${label}`}
          title="Remove"
          onClick={props.onRemove}
        >
          ✕
        </button>
      </div>
      {range !== null && (
        <div className="rc-Launch-range">
          <input
            className="rc-Input rc-num"
            aria-label={`Least ${label}`}
            inputMode="decimal"
            value={range.min}
            onChange={event => {
              onChange({ range: { ...range, min: event.currentTarget.value } });
            }}
          />
          {limits === null ? (
            <span className="rc-dim rc-small">Two numbers, the lower one first</span>
          ) : (
            <input
              type="range"
              aria-label={label}
              min={limits.min}
              max={limits.max}
              step={limits.step}
              value={Number.isFinite(Number(row.value)) ? Number(row.value) : limits.min}
              onChange={event => {
                onChange({ value: shortest(Number(event.currentTarget.value)) });
              }}
            />
          )}
          <input
            className="rc-Input rc-num"
            aria-label={`Most ${label}`}
            inputMode="decimal"
            value={range.max}
            onChange={event => {
              onChange({ range: { ...range, max: event.currentTarget.value } });
            }}
          />
        </div>
      )}
    </div>
  );
}

/** The numbers of a range, null when they are none. Whole ones are stepped through one by one. */
function limitsOf(range: {
  min: string;
  max: string;
}): { min: number; max: number; step: number } | null {
  const min = Number(range.min);
  const max = Number(range.max);
  if (range.min.trim() === '' || range.max.trim() === '' || !(min < max)) {
    return null;
  }
  const whole = Number.isInteger(min) && Number.isInteger(max) && max - min > 1;
  return {
    min,
    max,
    step: whole ? Math.max(1, Math.round((max - min) / STEPS)) : (max - min) / STEPS
  };
}

/** A number without the noise of its binary form: 0.3 and not 0.30000000000000004. */
function shortest(value: number): string {
  return String(Number(value.toPrecision(6)));
}
