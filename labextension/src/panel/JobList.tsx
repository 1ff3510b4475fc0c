import type { JSX } from 'react';
import { useCallback, useMemo, useState } from 'react';

import { useConnection } from '../api/context';
import type { JobDocument, PlaceDocument } from '../api/documents';
import { JobCard } from '../card/JobCard';
import { canResume, hasEnded } from '../card/states';
import { Confirm } from '../ui/Confirm';
import type { MenuItem } from '../ui/Menu';
import { StateMark } from '../ui/StateMark';
import { resumeLine } from '../ui/snippets';
import { useNow } from '../ui/useNow';
import { Empty } from './Empty';
import { FilterBox } from './FilterBox';
import { costSide, jobLine, jobMatches, jobOrder } from './jobRows';
import { useNotices } from './notice';
import { PanelRow } from './PanelRow';
import { checkpointsUri } from './places';
import { stopJobQuestion } from './questions';
import { RowList } from './RowList';
import { RowTrouble } from './RowTrouble';
import { Skeleton } from './Stale';
import { todo } from './todo';
import type { LiveRows } from './useLive';
import { usePending } from './usePending';

/** From so many jobs on there is a box to filter them. */
const MANY = 8;
const WORDS = { cancel: 'stopping', resume: 'resuming' } as const;

const idOf = (job: JobDocument): string => job.id;

/** The jobs of a place. */
export function JobList(props: {
  live: LiveRows<JobDocument>;
  place: PlaceDocument | null;
  /** Id of the job whose card is open in its row. */
  opened: string | null;
  onOpen: (job: JobDocument) => void;
  onObjects: (uri: string) => void;
}): JSX.Element {
  const { live, place, opened, onOpen, onObjects } = props;
  const { backend, host } = useConnection();
  const { copy, say } = useNotices();
  const [typed, setTyped] = useState('');
  const [asking, setAsking] = useState<string | null>(null);
  const pending = usePending<keyof typeof WORDS>(live.rows);
  const sorted = useMemo(() => [...live.rows.values()].sort(jobOrder), [live.rows]);
  const rows = useMemo(
    () => (typed.trim() === '' ? sorted : sorted.filter(job => jobMatches(job, typed))),
    [sorted, typed]
  );
  const now = useNow(sorted[0] !== undefined && !hasEnded(sorted[0].state));

  const askToStop = useCallback((job: JobDocument) => {
    if (!hasEnded(job.state)) {
      setAsking(job.id);
    }
  }, []);
  const { put } = live;
  const stop = (job: JobDocument): void => {
    setAsking(null);
    pending.run(job, 'cancel', async () => {
      put((await backend.act('cancel', { job: job.id })).job);
    });
  };
  const resume = (job: JobDocument): void => {
    pending.run(job, 'resume', async () => {
      const going = (await backend.act('resume', { job: job.id })).job;
      put(going);
      say(`${going.name} goes on as attempt ${String(going.attempt)}.`);
    });
  };

  const items = (job: JobDocument): MenuItem[] => {
    const attach = `%runctl attach ${job.id}`;
    const { insertCell, openLog } = host;
    const root = place?.root ?? null;
    const list: (MenuItem | false)[] = [
      todo('Open', () => {
        onOpen(job);
      }),
      openLog !== undefined &&
        todo('Open log', () => {
          openLog(job);
        }),
      root !== null &&
        job.checkpoint_count > 0 &&
        todo('Show checkpoints', () => {
          onObjects(checkpointsUri(root, job.id));
        }),
      canResume(job) &&
        todo(job.checkpoint_count > 0 ? 'Resume' : 'Run again', () => {
          resume(job);
        }),
      insertCell !== undefined &&
        todo('Insert code', () => {
          insertCell(attach);
        }),
      !hasEnded(job.state) && {
        kind: 'do',
        label: 'Stop…',
        danger: true,
        onSelect: () => {
          askToStop(job);
        }
      },
      { kind: 'heading', label: 'Copy' },
      todo('Copy as %runctl', () => {
        copy(canResume(job) ? resumeLine(job) : attach);
      }),
      todo('Copy id', () => {
        copy(job.id);
      })
    ];
    return list.filter(item => item !== false);
  };

  if (!live.loaded) {
    // What is wrong stands above; that there are none is not known.
    return live.trouble === null ? <Skeleton /> : <></>;
  }
  if (sorted.length === 0) {
    return (
      <Empty line="%%runctl train" code={'%%runctl train\n'}>
        No jobs yet. Put <code>%%runctl train</code> over a cell, and it runs on a machine of its
        own.
      </Empty>
    );
  }
  return (
    <>
      {sorted.length > MANY && (
        <FilterBox
          label="Filter jobs"
          hint="Name, id or state"
          typed={typed}
          onType={setTyped}
          shown={rows.length}
          all={sorted.length}
        />
      )}
      {rows.length === 0 ? (
        <div className="rc-Empty">No job has this in its name, id or state.</div>
      ) : (
        <RowList
          label="Jobs"
          rows={rows}
          idOf={idOf}
          height={48}
          onDelete={askToStop}
          render={(job, tabIndex) => {
            const verb = pending.of(job);
            const trouble = pending.trouble(job.id);
            return (
              <PanelRow
                tabIndex={tabIndex}
                mark={<StateMark state={verb === 'cancel' ? 'stopping' : job.state} wordless />}
                name={job.name === '' ? job.id : job.name}
                lines={[jobLine(job, verb === null ? job.state : WORDS[verb], now)]}
                side={costSide(
                  job.cost_usd,
                  job.price_per_hour,
                  hasEnded(job.state) ? 'ended' : null
                )}
                items={items(job)}
                {...(host.openJob === undefined ? { expanded: opened === job.id } : {})}
                onOpen={() => {
                  onOpen(job);
                }}
              >
                {asking === job.id && !hasEnded(job.state) && (
                  <Confirm
                    {...stopJobQuestion(job)}
                    onYes={() => {
                      stop(job);
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
                      pending.dismiss(job.id);
                    }}
                  />
                )}
                {opened === job.id && (
                  <div className="rc-PanelRow-card">
                    <JobCard job={job.id} />
                  </div>
                )}
              </PanelRow>
            );
          }}
        />
      )}
    </>
  );
}
