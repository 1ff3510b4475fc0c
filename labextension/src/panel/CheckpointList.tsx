import type { JSX } from 'react';
import { useMemo, useState } from 'react';

import { useConnection } from '../api/context';
import type { CheckpointDocument, ErrorDocument, JobDocument } from '../api/documents';
import { useQuery } from '../api/useQuery';
import { bestOf } from '../card/best';
import { checkpointMenu } from '../card/checkpointMenu';
import { agoText } from '../card/clock';
import { errorOf } from '../ui/errorOf';
import { countText, metricText, sizeText } from '../ui/format';
import { Trouble } from '../ui/Trouble';
import { CopyingLine } from './CopyingLine';
import { useNotices } from './notice';
import { PanelRow } from './PanelRow';
import { Preview } from './Preview';
import { RowList } from './RowList';
import { RowTrouble } from './RowTrouble';
import { Skeleton } from './Stale';
import type { Downloads } from './useDownload';

const idOf = (checkpoint: CheckpointDocument): string => checkpoint.uri;

/** The complete checkpoints of a job, the newest first. */
export function CheckpointList(props: {
  job: JobDocument;
  now: number;
  downloads: Downloads;
  onGo: (uri: string) => void;
  onJob: (job: JobDocument) => void;
}): JSX.Element | null {
  const { job, now, downloads } = props;
  const { backend, host } = useConnection();
  const { copy, say } = useNotices();
  const [open, setOpen] = useState<string | null>(null);
  const [failed, setFailed] = useState<{ uri: string; error: ErrorDocument } | null>(null);
  const { id, checkpoint_count: count } = job;

  // Anew with each checkpoint that the job saves.
  const { answer, error } = useQuery('checkpoints', { job: id }, count);
  const held = answer?.checkpoints ?? null;

  const rows = useMemo(
    () => [...(held ?? [])].sort((a, b) => (b.attempt ?? 0) - (a.attempt ?? 0) || b.seq - a.seq),
    [held]
  );
  const best = useMemo(() => bestOf(rows), [rows]);

  const resume = (checkpoint: CheckpointDocument): void => {
    setFailed(null);
    backend.act('resume', { job: id, checkpoint: checkpoint.uri }).then(
      answer => {
        say(`${answer.job.name} goes on as attempt ${String(answer.job.attempt)}.`);
        props.onJob(answer.job);
      },
      (thrown: unknown) => {
        setFailed({ uri: checkpoint.uri, error: errorOf(thrown) });
      }
    );
  };
  const look = (checkpoint: CheckpointDocument): void => {
    setOpen(open === checkpoint.uri ? null : checkpoint.uri);
  };

  if (error !== null) {
    return <Trouble error={error} />;
  }
  if (held === null) {
    return count === 0 ? null : <Skeleton />;
  }
  if (rows.length === 0) {
    return null;
  }
  return (
    <>
      <h3 className="rc-Panel-label">
        {countText(rows.length)} of {job.name === '' ? id : job.name}
      </h3>
      <RowList
        label={`Checkpoints of ${job.name}`}
        rows={rows}
        idOf={idOf}
        height={48}
        render={(checkpoint, tabIndex) => {
          const isBest = best?.checkpoint.uri === checkpoint.uri;
          const badge = [
            checkpoint.latest ? 'latest' : '',
            isBest ? `best ${best.metric}` : ''
          ].filter(word => word !== '');
          return (
            <PanelRow
              tabIndex={tabIndex}
              mark={<Point />}
              name={checkpoint.name}
              {...(badge.length > 0 ? { badge: badge.join(', ') } : {})}
              lines={[checkpointLine(checkpoint, now)]}
              items={checkpointMenu(checkpoint, job, {
                look,
                openFolder: each => {
                  props.onGo(each.uri);
                },
                resume,
                download: each => {
                  downloads.begin(each.uri);
                },
                downloadUrl: each => backend.downloadUrl({ uri: each.uri }),
                insert: host.insertCell,
                copy
              })}
              expanded={open === checkpoint.uri}
              onOpen={() => {
                look(checkpoint);
              }}
            >
              <CopyingLine uri={checkpoint.uri} downloads={downloads} />
              {failed?.uri === checkpoint.uri && (
                <RowTrouble
                  error={failed.error}
                  onDismiss={() => {
                    setFailed(null);
                  }}
                />
              )}
              {open === checkpoint.uri && (
                <Preview
                  uri={checkpoint.uri}
                  onClose={() => {
                    setOpen(null);
                  }}
                />
              )}
            </PanelRow>
          );
        }}
      />
    </>
  );
}

function checkpointLine(checkpoint: CheckpointDocument, now: number): string {
  const { step, name } = checkpoint;
  return [
    // A name that says it need not be explained.
    ...(step === null || name.includes(String(step)) ? [] : [`step ${countText(step)}`]),
    ...Object.entries(checkpoint.metrics).map(
      ([metric, value]) => `${metric} ${metricText(value)}`
    ),
    sizeText(checkpoint.size),
    agoText(checkpoint.created_at, now)
  ].join(' · ');
}

/** A hollow point, as on the curve. */
function Point(): JSX.Element {
  return (
    <svg className="rc-tone-good" viewBox="0 0 10 10" aria-hidden="true">
      <circle cx="5" cy="5" r="4" fill="none" stroke="currentColor" strokeWidth="2" />
    </svg>
  );
}
