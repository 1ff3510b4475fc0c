import type { JSX } from 'react';
import { useMemo, useState } from 'react';

import { useConnection } from '../api/context';
import type { InstanceDocument, JobDocument, PlaceDocument } from '../api/documents';
import { Confirm } from '../ui/Confirm';
import { countText } from '../ui/format';
import type { MenuItem } from '../ui/Menu';
import { wordOf } from '../ui/snippets';
import { StateMark } from '../ui/StateMark';
import { useNow } from '../ui/useNow';
import { Empty } from './Empty';
import { FilterBox } from './FilterBox';
import { costSide } from './jobRows';
import { MachineDetails } from './MachineDetails';
import { isGone, machineLines, machineMatches, machineOrder } from './machineRows';
import type { MachineVerb } from './machineVerbs';
import { EXPECTED, LABELS, verbsOf } from './machineVerbs';
import { useNotices } from './notice';
import { PanelRow } from './PanelRow';
import { machineQuestion } from './questions';
import { RowList } from './RowList';
import { RowTrouble } from './RowTrouble';
import { Skeleton } from './Stale';
import { todo } from './todo';
import type { LiveRows } from './useLive';
import { usePending } from './usePending';
import { useRecentlyGone } from './useRecentlyGone';

const MANY = 8;
const AGES_MS = 5000;
const idOf = (machine: InstanceDocument): string => machine.id;

/** The machines of a place. */
export function MachineList(props: {
  live: LiveRows<InstanceDocument>;
  jobs: ReadonlyMap<string, JobDocument>;
  place: PlaceDocument | null;
  onJob: (id: string) => void;
}): JSX.Element {
  const { live, jobs } = props;
  const { backend } = useConnection();
  const { copy } = useNotices();
  const [typed, setTyped] = useState('');
  const [opened, setOpened] = useState<string | null>(null);
  const [showGone, setShowGone] = useState(false);
  const [asking, setAsking] = useState<{ id: string; verb: 'stop' | 'terminate' } | null>(null);
  const pending = usePending<MachineVerb>(live.rows);
  const recent = useRecentlyGone(live.rows);
  const sorted = useMemo(() => [...live.rows.values()].sort(machineOrder), [live.rows]);
  const kept = showGone ? sorted : sorted.filter(each => !isGone(each) || recent.has(each.id));
  const rows = typed.trim() === '' ? kept : kept.filter(each => machineMatches(each, typed));
  const gone = sorted.reduce((count, each) => count + Number(isGone(each)), 0);
  const now = useNow(sorted.length > gone, AGES_MS);

  const { put } = live;
  const act = (machine: InstanceDocument, verb: MachineVerb): void => {
    setAsking(null);
    // The question named the jobs that run on it: yes means them too.
    const force = verb !== 'start' && machine.jobs.length > 0 ? { force: true } : {};
    pending.run(machine, verb, async () => {
      put((await backend.act(verb, { instance: machine.id, ...force })).instance);
    });
  };
  const choose = (machine: InstanceDocument, verb: MachineVerb): void => {
    if (verb === 'start') {
      act(machine, verb);
    } else {
      setAsking({ id: machine.id, verb });
    }
  };
  const items = (machine: InstanceDocument): MenuItem[] => {
    const name = wordOf(machine.id);
    const verbs = pending.of(machine) === null ? verbsOf(machine) : [];
    return [
      todo(opened === machine.id ? 'Close' : 'Open', () => {
        setOpened(opened === machine.id ? null : machine.id);
      }),
      ...verbs.map((verb): MenuItem => ({
        kind: 'do',
        label: LABELS[verb],
        danger: verb === 'terminate',
        onSelect: () => {
          choose(machine, verb);
        }
      })),
      { kind: 'heading', label: 'Copy' },
      todo('Copy as %runctl', () => {
        copy(machine.state === 'running' ? `%%runctl train --on ${name}` : `%runctl show ${name}`);
      }),
      todo('Copy id', () => {
        copy(machine.id);
      })
    ];
  };

  if (!live.loaded) {
    // What is wrong stands above; that there are none is not known.
    return live.trouble === null ? <Skeleton /> : <></>;
  }
  return (
    <>
      {kept.length > MANY && (
        <FilterBox
          label="Filter instances"
          hint="Name, type, state or owner"
          typed={typed}
          onType={setTyped}
          shown={rows.length}
          all={kept.length}
        />
      )}
      {kept.length === 0 && props.place?.target !== 'local' && (
        <Empty line="%runctl create m5.large --ttl 8h" code="%runctl create m5.large --ttl 8h">
          No machine runs, so nothing is billed by the hour. A job brings its own; one that stays:{' '}
          <code>%runctl create m5.large --ttl 8h</code>
        </Empty>
      )}
      {kept.length > 0 && rows.length === 0 && (
        <div className="rc-Empty">No machine has this in its name, type, state or owner.</div>
      )}
      {rows.length > 0 && (
        <RowList
          label="Instances"
          rows={rows}
          idOf={idOf}
          height={64}
          onDelete={machine => {
            if (verbsOf(machine).includes('terminate')) {
              choose(machine, 'terminate');
            }
          }}
          render={(machine, tabIndex) => {
            const verb = pending.of(machine);
            const trouble = pending.trouble(machine.id);
            const expected = verb === null ? null : EXPECTED[verb];
            return (
              <PanelRow
                tabIndex={tabIndex}
                mark={<StateMark state={expected?.state ?? machine.state} wordless />}
                name={machine.name === '' ? machine.id : machine.name}
                lines={machineLines(machine, expected?.word ?? machine.state, now)}
                side={costSide(
                  machine.cost_usd,
                  machine.price_per_hour,
                  isGone(machine) ? 'ended' : machine.state === 'stopped' ? 'stopped' : null
                )}
                items={items(machine)}
                expanded={opened === machine.id}
                onOpen={() => {
                  setOpened(opened === machine.id ? null : machine.id);
                }}
              >
                {asking?.id === machine.id && verbsOf(machine).includes(asking.verb) && (
                  <Confirm
                    {...machineQuestion(asking.verb, machine, jobs, props.place?.user ?? null)}
                    onYes={() => {
                      act(machine, asking.verb);
                    }}
                    onNo={() => {
                      setAsking(null);
                    }}
                  />
                )}
                {trouble !== null && (
                  <RowTrouble
                    error={trouble}
                    onDismiss={() => {
                      pending.dismiss(machine.id);
                    }}
                  />
                )}
                {opened === machine.id && (
                  <MachineDetails
                    machine={machine}
                    now={now}
                    busy={verb !== null}
                    onVerb={chosen => {
                      choose(machine, chosen);
                    }}
                    onJob={props.onJob}
                  />
                )}
              </PanelRow>
            );
          }}
        />
      )}
      {gone > 0 && (
        <div className="rc-Panel-more">
          <button
            type="button"
            className="rc-Button rc-Button-quiet"
            aria-pressed={showGone}
            onClick={() => {
              setShowGone(!showGone);
            }}
          >
            {showGone ? 'Hide ended' : `Show ${countText(gone)} ended`}
          </button>
        </div>
      )}
    </>
  );
}
