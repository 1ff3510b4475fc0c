import type { JSX } from 'react';
import { useEffect, useId, useState } from 'react';

import { useConnection } from '../api/context';
import type { ErrorDocument, JobDocument, TypeDocument } from '../api/documents';
import { errorOf } from '../ui/errorOf';
import { rateText } from '../ui/format';
import { Trouble } from '../ui/Trouble';
import { Field } from './Field';
import { DURATION, mostText } from './launchCost';
import type { Wish } from './magicLine';
import { launchLine, notebookLine } from './magicLine';
import { useNotices } from './notice';
import type { ParameterRow } from './ParameterRows';
import { ParameterRows } from './ParameterRows';

const URI = 's3://.+';

/** Launch a job by a form that shows the line it is equal to. */
export function LaunchForm(props: {
  /** Whether machines are billed here, and limits of money mean something. */
  paid: boolean;
  onJob: (job: JobDocument) => void;
}): JSX.Element {
  const { backend, host } = useConnection();
  const { copy, say } = useNotices();
  const id = useId();
  const [types, setTypes] = useState<TypeDocument[]>([]);
  const [error, setError] = useState<ErrorDocument | null>(null);
  const [launching, setLaunching] = useState(false);
  const [script, setScript] = useState('');
  const [rows, setRows] = useState<ParameterRow[]>([]);
  const [cell, setCell] = useState(false);
  const [wish, setWish] = useState<Omit<Wish, 'script' | 'parameters'>>({
    words: '',
    instanceType: '',
    name: '',
    maxCost: '',
    ttl: '',
    dataS3: '',
    outputS3: ''
  });
  const set =
    (name: keyof typeof wish) =>
    (text: string): void => {
      setWish(before => ({ ...before, [name]: text }));
    };

  useEffect(() => {
    const aborted = new AbortController();
    backend.query('types', {}, aborted.signal).then(
      answer => {
        if (!aborted.signal.aborted) {
          setTypes(answer.types);
        }
      },
      (thrown: unknown) => {
        if (!aborted.signal.aborted) {
          setError(errorOf(thrown));
        }
      }
    );
    return () => {
      aborted.abort();
    };
  }, [backend]);

  const whole: Wish = {
    ...wish,
    script: cell ? null : script,
    parameters: rows.map(({ name, value }) => ({ name, value }))
  };
  const line = notebookLine(whole);
  const code = cell ? `${line}\n` : line;
  const type = types.find(each => each.name === wish.instanceType.trim());
  const { insertCell } = host;

  const launch = (): void => {
    setLaunching(true);
    setError(null);
    backend.act('launch', { line: launchLine(whole) }).then(
      launched => {
        setLaunching(false);
        // The line begins with `train`: a machine alone comes of other lines.
        if ('job' in launched) {
          const { job } = launched;
          say(`Launched ${job.name === '' ? job.id : job.name}.`);
          props.onJob(job);
        }
      },
      (thrown: unknown) => {
        setLaunching(false);
        setError(errorOf(thrown));
      }
    );
  };

  return (
    <form
      className="rc-Launch"
      aria-label="Launch a job"
      onSubmit={event => {
        event.preventDefault();
        launch();
      }}
    >
      <fieldset className="rc-Launch-what">
        <legend>Run</legend>
        <label>
          <input
            type="radio"
            name={`${id}-what`}
            checked={!cell}
            onChange={() => {
              setCell(false);
            }}
          />
          a script
        </label>
        <label>
          <input
            type="radio"
            name={`${id}-what`}
            checked={cell}
            onChange={() => {
              setCell(true);
            }}
          />
          a cell
        </label>
      </fieldset>
      {!cell && (
        <Field
          label="Script"
          mono
          required
          placeholder="train.py"
          spellCheck={false}
          value={script}
          onText={setScript}
        />
      )}
      <Field
        label="Machine"
        list={`${id}-types`}
        placeholder="m5.large"
        autoComplete="off"
        spellCheck={false}
        value={wish.instanceType}
        onText={set('instanceType')}
        hint={machineHint(wish.instanceType, type)}
      />
      <datalist id={`${id}-types`}>
        {types.map(each => (
          <option key={each.name} value={each.name}>
            {typeText(each)}
          </option>
        ))}
      </datalist>
      <div className="rc-Launch-pairs">
        <Field
          label="Time limit"
          placeholder="8h"
          pattern={DURATION}
          title="A number and a unit: 90s, 30m, 8h or 2d"
          value={wish.ttl}
          onText={set('ttl')}
        />
        {props.paid && (
          <Field
            label="Cost cap, $"
            type="number"
            min="0.01"
            step="any"
            placeholder="none"
            value={wish.maxCost}
            onText={set('maxCost')}
          />
        )}
        <Field
          label="Name"
          placeholder="made up"
          spellCheck={false}
          value={wish.name}
          onText={set('name')}
        />
      </div>
      <ParameterRows rows={rows} onChange={setRows} />
      <details>
        <summary>Data and arguments</summary>
        <Field
          label="Data in"
          mono
          placeholder="s3://bucket/data/"
          pattern={URI}
          title="An s3:// address"
          spellCheck={false}
          value={wish.dataS3}
          onText={set('dataS3')}
        />
        <Field
          label="Outputs to"
          mono
          placeholder="the run record"
          pattern={URI}
          title="An s3:// address"
          spellCheck={false}
          value={wish.outputS3}
          onText={set('outputS3')}
        />
        {!cell && (
          <Field
            label="The script's own arguments"
            mono
            placeholder="--epochs 20"
            spellCheck={false}
            value={wish.words}
            onText={set('words')}
          />
        )}
      </details>
      {props.paid && (
        <p className="rc-Launch-cost rc-num" role="status">
          {mostText(type === undefined ? null : type.price_per_hour, wish.ttl, wish.maxCost)}
        </p>
      )}
      <code className="rc-Launch-line" aria-label="The equal line">
        {line}
      </code>
      {error !== null && <Trouble error={error} />}
      <div className="rc-Panel-buttons">
        {!cell && (
          <button type="submit" className="rc-Button rc-Button-primary" disabled={launching}>
            {launching ? 'Launching…' : 'Launch'}
          </button>
        )}
        {insertCell !== undefined && (
          <button
            type="button"
            className={cell ? 'rc-Button rc-Button-primary' : 'rc-Button'}
            onClick={() => {
              insertCell(code);
            }}
          >
            Insert cell
          </button>
        )}
        <button
          type="button"
          className="rc-Button"
          onClick={() => {
            copy(line);
          }}
        >
          Copy line
        </button>
      </div>
    </form>
  );
}

function machineHint(typed: string, type: TypeDocument | undefined): string {
  if (type !== undefined) {
    return typeText(type);
  }
  return typed.trim() === ''
    ? 'As the settings say, else m5.large.'
    : 'Not in the price list; EC2 says at launch whether it exists.';
}

function typeText(type: TypeDocument): string {
  return [
    type.gpus > 0 ? `${String(type.gpus)} GPU${type.gpus === 1 ? '' : 's'}` : 'no GPU',
    ...(type.vcpus === null ? [] : [`${String(type.vcpus)} vCPU`]),
    ...(type.memory_gib === null ? [] : [`${String(type.memory_gib)} GiB`]),
    type.price_per_hour === null ? 'price unknown' : rateText(type.price_per_hour)
  ].join(' · ');
}
