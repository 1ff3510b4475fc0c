import type { JSX, KeyboardEvent } from 'react';
import { useEffect, useRef, useState } from 'react';

import { useConnection } from '../api/context';
import { sizeText } from '../ui/format';
import { Trouble } from '../ui/Trouble';
import { LogBar } from './LogBar';
import { LogList } from './LogList';
import { copied, heldText, saveText, selectedIn } from './saving';
import { SearchRow } from './SearchRow';
import { useLines } from './useLines';
import type { FollowedLog } from './useLog';
import { useLog, usePhase } from './useLog';
import { nextFound, useSearch } from './useSearch';

/** Props of the view of a job's log. */
export interface LogViewProps {
  job: string;
  /** Height of the whole view in pixels; without it the view is as high as what it lies in. */
  height?: number;
  /** Whether the job has ended, if that is known. */
  ended?: boolean;
}

/** A job's log: live at its end, all of it within reach. */
export function LogView(props: LogViewProps): JSX.Element {
  const log = useLog(props.job);
  const style = props.height === undefined ? undefined : { height: props.height };
  return (
    <div className="rc-Log" style={style}>
      {log === null || (!log.model.opened && log.model.trouble === null) ? (
        <div className="rc-Log-scroller" aria-busy="true">
          <div className="rc-Skeleton" />
          <div className="rc-Skeleton" />
          <div className="rc-Skeleton" />
        </div>
      ) : (
        <Log key={props.job} job={props.job} log={log} ended={props.ended ?? log.model.ended} />
      )}
    </div>
  );
}

function Log({ job, log, ended }: { job: string; log: FollowedLog; ended: boolean }): JSX.Element {
  const { backend } = useConnection();
  const { model } = log;
  const [wrap, setWrap] = useState(false);
  const [times, setTimes] = useState(false);
  const [notice, setNotice] = useState('');
  const [searching, setSearching] = useState(false);
  const [typed, setTyped] = useState('');
  const [regular, setRegular] = useState(false);
  const [current, setCurrent] = useState<number | null>(null);
  const field = useRef<HTMLInputElement>(null);
  const lines = useLines(log, wrap);
  const found = useSearch(log, searching ? typed : '', regular);
  const empty = model.opened && model.text.endLine === model.text.firstLine;
  const trouble = model.trouble ?? log.status?.trouble ?? null;

  const go = (from: number, forwards: boolean): void => {
    const line = nextFound(found.lines, from, forwards);
    if (line !== null) {
      setCurrent(line);
      lines.toLine(line);
    }
  };
  const close = (): void => {
    setSearching(false);
    setCurrent(null);
    lines.scroller.current?.focus();
  };
  // What was typed is looked for from where one is reading.
  const { pattern, busy } = found;
  const sought = useRef<RegExp | null>(null);
  useEffect(() => {
    if (pattern !== sought.current && !busy) {
      sought.current = pattern;
      go(lines.top - 1, true);
    }
  });
  useEffect(() => {
    if (searching) {
      field.current?.focus();
      field.current?.select();
    }
  }, [searching]);

  const onKeyDown = (event: KeyboardEvent): void => {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === 'f') {
      event.preventDefault();
      event.stopPropagation();
      setSearching(true);
      field.current?.focus();
      field.current?.select();
    } else if (event.key === 'Escape' && searching) {
      event.stopPropagation();
      close();
    }
  };

  return (
    <div className="rc-Log-body" onKeyDown={onKeyDown}>
      {empty ? (
        <Empty job={job} ended={ended} />
      ) : (
        <LogList
          model={model}
          lines={lines}
          wrap={wrap}
          times={times}
          pattern={pattern}
          current={current}
        />
      )}
      {trouble !== null && (
        <Trouble error={trouble}>
          {model.trouble !== null && (
            <span>
              <button
                type="button"
                className="rc-Button"
                onClick={() => {
                  model.retry();
                }}
              >
                Try again
              </button>
            </span>
          )}
        </Trouble>
      )}
      {searching && (
        <SearchRow
          field={field}
          typed={typed}
          regular={regular}
          found={found}
          current={current}
          onType={text => {
            setTyped(text);
            setCurrent(null);
          }}
          onRegular={setRegular}
          onNext={forwards => {
            go(current ?? (forwards ? lines.top - 1 : lines.top), forwards);
          }}
          onClose={close}
        />
      )}
      <LogBar
        model={model}
        ended={ended}
        following={lines.following}
        unseen={lines.unseen}
        notice={notice}
        searching={searching}
        times={times}
        wrap={wrap}
        address={backend.downloadUrl({ log: job })}
        onFollow={lines.follow}
        onStay={lines.stay}
        onSearch={() => {
          if (searching) {
            close();
          } else {
            setSearching(true);
          }
        }}
        onTimes={() => {
          setTimes(!times);
        }}
        onWrap={() => {
          setWrap(!wrap);
        }}
        onCopy={() => {
          const selected = selectedIn(lines.scroller.current);
          const text = selected === '' ? heldText(model.text) : selected;
          void copied(text, selected === '' ? coverOf(log) : 'the selection').then(setNotice);
        }}
        onSave={() => {
          saveText(heldText(model.text), `${job}.log`);
          setNotice(`Saved ${coverOf(log)}.`);
        }}
      />
    </div>
  );
}

/** What of the log is held here, in words. */
function coverOf({ model }: FollowedLog): string {
  const { text, size } = model;
  return text.start === 0 && text.end === size
    ? 'the whole log'
    : `the last ${sizeText(text.end - text.start)} of ${sizeText(size)}`;
}

function Empty({ job, ended }: { job: string; ended: boolean }): JSX.Element {
  const phase = usePhase(job, !ended);
  return (
    <div
      className="rc-Log-scroller rc-Empty"
      role="log"
      aria-live="off"
      aria-label="Log"
      tabIndex={0}
    >
      {ended ? 'Nothing was printed.' : 'Nothing printed yet.'}
      {phase !== '' && <div>The job is in {phase}</div>}
    </div>
  );
}
