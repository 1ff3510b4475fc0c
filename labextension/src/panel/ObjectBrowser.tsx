import type { JSX } from 'react';
import { useMemo, useState } from 'react';

import { useConnection } from '../api/context';
import type { JobDocument, ObjectDocument } from '../api/documents';
import { agoText } from '../card/clock';
import { countText, sizeText } from '../ui/format';
import { Trouble } from '../ui/Trouble';
import { useNow } from '../ui/useNow';
import { CheckpointList } from './CheckpointList';
import { CopyingLine } from './CopyingLine';
import { Crumbs } from './Crumbs';
import { useNotices } from './notice';
import { objectMenu } from './objectMenu';
import { PanelRow } from './PanelRow';
import { jobOfFolder } from './places';
import { Preview } from './Preview';
import { RowList } from './RowList';
import { Skeleton } from './Stale';
import { useDownload } from './useDownload';
import { useObjects } from './useObjects';

type Entry =
  | { kind: 'folder'; name: string; uri: string }
  | { kind: 'object'; name: string; uri: string; object: ObjectDocument };

const AGES_MS = 30_000;
const idOf = (entry: Entry): string => entry.uri;

/** A bucket, level by level and page by page; above it the checkpoints of a job where these are its. */
export function ObjectBrowser(props: {
  uri: string;
  jobs: ReadonlyMap<string, JobDocument>;
  onGo: (uri: string) => void;
  onJob: (job: JobDocument) => void;
}): JSX.Element {
  const { uri, onGo } = props;
  const { backend, host } = useConnection();
  const { copy } = useNotices();
  const [filter, setFilter] = useState('');
  const [open, setOpen] = useState<string | null>(null);
  const [at, setAt] = useState(uri);
  /** The folder that was entered from its row. */
  const [entered, setEntered] = useState<string | null>(null);
  if (at !== uri) {
    setAt(uri);
    setFilter('');
    setOpen(null);
  }
  const level = useObjects(uri, filter);
  const downloads = useDownload();
  const now = useNow(true, AGES_MS);
  const jobId = jobOfFolder(uri);
  const job = jobId === null ? undefined : props.jobs.get(jobId);
  const entries = useMemo(
    (): Entry[] => [
      ...level.prefixes.map((prefix): Entry => ({ kind: 'folder', ...prefix })),
      ...level.objects.map((object): Entry => ({
        kind: 'object',
        name: object.name,
        uri: object.uri,
        object
      }))
    ],
    [level.prefixes, level.objects]
  );
  const openEntry = (entry: Entry): void => {
    if (entry.kind === 'folder') {
      setEntered(entry.uri);
      onGo(entry.uri);
    } else {
      setOpen(open === entry.uri ? null : entry.uri);
    }
  };

  return (
    <>
      <Crumbs uri={uri} onGo={onGo} />
      {job !== undefined && (
        <CheckpointList
          key={job.id}
          job={job}
          now={now}
          downloads={downloads}
          onGo={onGo}
          onJob={props.onJob}
        />
      )}
      <div className="rc-Panel-filter">
        <input
          type="search"
          className="rc-Input"
          aria-label="Filter by beginning of name"
          placeholder="Name begins with"
          spellCheck={false}
          value={filter}
          onChange={event => {
            setEntered(null);
            setFilter(event.currentTarget.value);
          }}
        />
        <span className="rc-dim rc-small rc-num" role="status">
          {level.loaded ? `${countText(entries.length)}${level.more ? '+' : ''}` : ''}
        </span>
        <button
          type="button"
          className="rc-Button rc-Button-quiet"
          onClick={() => {
            setEntered(null);
            level.reload();
          }}
        >
          Refresh
        </button>
      </div>
      {level.error !== null && (
        <Trouble error={level.error}>
          <span>
            <button
              type="button"
              className="rc-Button"
              onClick={level.loaded ? level.loadMore : level.reload}
            >
              Try again
            </button>
          </span>
        </Trouble>
      )}
      {!level.loaded && level.error === null && <Skeleton />}
      {level.loaded && entries.length === 0 && (
        <div className="rc-Empty">
          {filter === ''
            ? 'Nothing lies here.'
            : 'No name here begins so. Upper and lower case differ in S3.'}
        </div>
      )}

      {entries.length > 0 && (
        <RowList
          key={uri}
          label="Objects"
          rows={entries}
          idOf={idOf}
          // Who has entered a folder stands on its first row, and can go on with the keyboard.
          takesFocus={entered === uri}
          height={48}
          onNearEnd={level.loadMore}
          render={(entry, tabIndex) => (
            <PanelRow
              tabIndex={tabIndex}
              mark={entry.kind === 'folder' ? <Folder /> : <File />}
              name={entry.kind === 'folder' ? `${entry.name.replace(/\/$/, '')}/` : entry.name}
              lines={
                entry.kind === 'folder'
                  ? []
                  : [`${sizeText(entry.object.size)} · ${agoText(entry.object.last_modified, now)}`]
              }
              {...(entry.kind === 'folder' ? {} : { expanded: open === entry.uri })}
              items={objectMenu(entry.uri, entry.kind === 'folder', {
                open: () => {
                  openEntry(entry);
                },
                download: () => {
                  downloads.begin(entry.uri);
                },
                url: backend.downloadUrl({ uri: entry.uri }),
                insert: host.insertCell,
                copy
              })}
              onOpen={() => {
                openEntry(entry);
              }}
            >
              <CopyingLine uri={entry.uri} downloads={downloads} />
              {open === entry.uri && (
                <Preview
                  uri={entry.uri}
                  onClose={() => {
                    setOpen(null);
                  }}
                />
              )}
            </PanelRow>
          )}
        />
      )}
      {level.more && level.error === null && (
        <div className="rc-Panel-more">
          <button
            type="button"
            className="rc-Button"
            disabled={level.loading}
            onClick={level.loadMore}
          >
            {level.loading ? 'Loading…' : 'Load more'}
          </button>
        </div>
      )}
    </>
  );
}

function Folder(): JSX.Element {
  return (
    <svg className="rc-dim" viewBox="0 0 10 10" aria-hidden="true">
      <path d="M0 1h4l1 1.5h5V9H0z" fill="currentColor" />
    </svg>
  );
}

function File(): JSX.Element {
  return (
    <svg className="rc-dim" viewBox="0 0 10 10" aria-hidden="true">
      <path d="M2 .5h4L8 3v6.5H2z" fill="none" stroke="currentColor" />
    </svg>
  );
}
