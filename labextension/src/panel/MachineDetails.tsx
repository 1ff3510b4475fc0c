import type { JSX } from 'react';

import type { InstanceDocument } from '../api/documents';
import type { MachineVerb } from './machineVerbs';
import { machineFacts } from './machineRows';
import { LABELS, verbsOf } from './machineVerbs';

/** A machine in full, below its row: facts, jobs to open, and what can be done. */
export function MachineDetails(props: {
  machine: InstanceDocument;
  now: number;
  busy: boolean;
  onVerb: (verb: MachineVerb) => void;
  onJob: (id: string) => void;
}): JSX.Element {
  const { machine } = props;
  const verbs = verbsOf(machine);
  return (
    <div className="rc-MachineDetails">
      <dl className="rc-ObjectPreview-facts">
        {machineFacts(machine, props.now).map(([title, text]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd className="rc-num">{text}</dd>
          </div>
        ))}
        {machine.jobs.length > 0 && (
          <div>
            <dt>Runs</dt>
            <dd>
              {machine.jobs.map(({ id, name }) => (
                <button
                  key={id}
                  type="button"
                  className="rc-Panel-link"
                  title={id}
                  onClick={() => {
                    props.onJob(id);
                  }}
                >
                  {name === '' ? id : name}
                </button>
              ))}
            </dd>
          </div>
        )}
      </dl>
      {verbs.length > 0 && (
        <div className="rc-Panel-buttons">
          {verbs.map(verb => (
            <button
              key={verb}
              type="button"
              className={verb === 'terminate' ? 'rc-Button rc-Button-danger' : 'rc-Button'}
              disabled={props.busy}
              onClick={() => {
                props.onVerb(verb);
              }}
            >
              {LABELS[verb]}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}
