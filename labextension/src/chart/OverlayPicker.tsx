import type { JSX } from 'react';
import { useEffect, useId, useState } from 'react';

import type { Rows } from '../api/backend';
import { useConnection } from '../api/context';
import type { ErrorDocument, JobDocument } from '../api/documents';
import { cutMiddle } from '../ui/format';
import { StateMark } from '../ui/StateMark';
import { Trouble } from '../ui/Trouble';
import { MOST_JOBS } from './lines';

/** A job that is laid over. */
export interface Picked {
  id: string;
  name: string;
}

/** How many jobs are listed at once. */
const LISTED = 50;

/** Choose jobs whose curves are laid over this one's. Jobs are asked for only while the list is open. */
export function OverlayPicker(props: {
  job: string;
  picked: Picked[];
  onPicked: (picked: Picked[]) => void;
}): JSX.Element {
  const { picked, onPicked } = props;
  const [open, setOpen] = useState(false);
  const list = useId();
  return (
    <div
      className="rc-Overlay"
      onKeyDown={event => {
        if (open && event.key === 'Escape') {
          event.stopPropagation();
          setOpen(false);
        }
      }}
    >
      <button
        type="button"
        className="rc-Button rc-Button-quiet"
        aria-expanded={open}
        aria-controls={open ? list : undefined}
        aria-pressed={open}
        onClick={() => {
          setOpen(!open);
        }}
      >
        Overlay job…
      </button>
      {picked.map(job => (
        <span key={job.id} className="rc-Chip rc-Chip-picked" title={job.name}>
          {cutMiddle(job.name, 24)}
          <button
            type="button"
            aria-label={`remove ${job.name}`}
            onClick={() => {
              onPicked(picked.filter(each => each.id !== job.id));
            }}
          >
            ×
          </button>
        </span>
      ))}
      {open && <JobList {...props} id={list} />}
    </div>
  );
}

function JobList(props: {
  id: string;
  job: string;
  picked: Picked[];
  onPicked: (picked: Picked[]) => void;
}): JSX.Element {
  const { picked, onPicked } = props;
  const { jobs, trouble } = useJobs();
  const [filter, setFilter] = useState('');
  const wanted = filter.trim().toLowerCase();
  const measured = (jobs ?? []).filter(
    job => job.id !== props.job && Object.keys(job.metrics).length > 0
  );
  const found = measured
    .filter(job => `${job.name} ${job.id}`.toLowerCase().includes(wanted))
    .sort((one, other) => other.created_at.localeCompare(one.created_at));
  return (
    <div id={props.id} className="rc-Overlay-list">
      {trouble !== null && <Trouble error={trouble} />}
      {jobs === null && trouble === null && <div className="rc-Skeleton" />}
      {jobs !== null && measured.length === 0 && (
        <div className="rc-Empty">No other job has metrics yet.</div>
      )}
      {measured.length > 0 && (
        <input
          className="rc-Input"
          type="search"
          placeholder="name or id"
          aria-label="find a job"
          value={filter}
          onChange={event => {
            setFilter(event.target.value);
          }}
        />
      )}
      <ul>
        {found.slice(0, LISTED).map(job => {
          const on = picked.some(each => each.id === job.id);
          return (
            <li key={job.id}>
              <label title={`${job.name} · ${job.id}`}>
                <input
                  type="checkbox"
                  checked={on}
                  disabled={!on && picked.length >= MOST_JOBS - 1}
                  onChange={() => {
                    onPicked(
                      on
                        ? picked.filter(each => each.id !== job.id)
                        : [...picked, { id: job.id, name: job.name }]
                    );
                  }}
                />
                <StateMark state={job.state} wordless />
                <span className="rc-cut">{job.name}</span>
                <span className="rc-dim rc-small rc-num">{job.id.slice(-4)}</span>
              </label>
            </li>
          );
        })}
      </ul>
      {found.length > LISTED && (
        <div className="rc-dim rc-small rc-num">
          {found.length - LISTED} more: type to find them
        </div>
      )}
    </div>
  );
}

/** All jobs, while somebody looks; null until they are known. */
function useJobs(): { jobs: JobDocument[] | null; trouble: ErrorDocument | null } {
  const { backend } = useConnection();
  const [rows, setRows] = useState<ReadonlyMap<string, JobDocument> | null>(null);
  const [trouble, setTrouble] = useState<ErrorDocument | null>(null);
  useEffect(
    () =>
      backend.subscribe(
        'jobs',
        {},
        event => {
          setRows(known => merged(known, event));
        },
        status => {
          setTrouble(status.trouble);
        }
      ),
    [backend]
  );
  return { jobs: rows === null ? null : [...rows.values()], trouble };
}

function merged(
  known: ReadonlyMap<string, JobDocument> | null,
  event: Rows<JobDocument>
): ReadonlyMap<string, JobDocument> {
  const next = new Map(event.reset ? [] : known);
  for (const row of event.rows) {
    next.set(row.id, row);
  }
  for (const id of event.removed) {
    next.delete(id);
  }
  return next;
}
