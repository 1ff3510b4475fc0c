import type { JSX } from 'react';
import { useCallback, useMemo, useState } from 'react';

import { useConnection } from '../api/context';
import type { CheckpointDocument, ErrorDocument, JobDocument } from '../api/documents';
import { errorOf } from '../ui/errorOf';
import { countText, metricText, sizeText } from '../ui/format';
import { Trouble } from '../ui/Trouble';
import { useNow } from '../ui/useNow';
import { bestOf } from './best';
import type { Best } from './best';
import { CheckpointRow } from './CheckpointRow';
import { checkpointMenu } from './checkpointMenu';
import { placeOf } from './loss';
import { useAllCheckpoints } from './useAllCheckpoints';

/** So many rows at once: more are asked for. */
const ROWS = 100;
/** Ages are in minutes. */
const AGE_PERIOD_MS = 15_000;

const EXAMPLE = `import os, torch
torch.save(model.state_dict(), f"{os.environ['RUNCTL_CHECKPOINT_DIR']}/step_{step}.pt")`;

/** The checkpoints of a job, the newest first, with all that can be done with them. */
export function Checkpoints(props: {
  job: JobDocument;
  known: CheckpointDocument[];
  wide: boolean;
  /** Address of the one whose inside is shown. */
  opened: string | null;
  onOpened: (uri: string | null) => void;
  onResume: ((checkpoint: CheckpointDocument) => void) | undefined;
  onCopy: (text: string) => void;
  onNotice: (text: string) => void;
}): JSX.Element {
  const { job, opened, onOpened, onResume, onCopy, onNotice } = props;
  const { backend, host } = useConnection();
  const { checkpoints, error } = useAllCheckpoints(job, props.known);
  const [failed, setFailed] = useState<ErrorDocument | null>(null);
  const [rows, setRows] = useState(ROWS);
  const now = useNow(true, AGE_PERIOD_MS);
  const best = useMemo(() => bestOf(checkpoints), [checkpoints]);
  const newestFirst = useMemo(() => [...checkpoints].reverse(), [checkpoints]);
  const asks = backend.kind !== 'snapshot';
  const { insertCell, openObjects } = host;

  const download = useCallback(
    (checkpoint: CheckpointDocument) => {
      setFailed(null);
      onNotice(`Downloading ${checkpoint.name} …`);
      backend.act('download', { uri: checkpoint.uri }).then(
        ({ path, size }) => {
          onNotice(`Downloaded to ${path} (${sizeText(size)}).`);
        },
        (thrown: unknown) => {
          onNotice('');
          setFailed(errorOf(thrown));
        }
      );
    },
    [backend, onNotice]
  );
  const close = useCallback(() => {
    onOpened(null);
  }, [onOpened]);
  const look = useCallback(
    (checkpoint: CheckpointDocument) => {
      onOpened(checkpoint.uri === opened ? null : checkpoint.uri);
    },
    [opened, onOpened]
  );
  const openFolder = useMemo(
    () =>
      openObjects === undefined
        ? undefined
        : (checkpoint: CheckpointDocument) => {
            openObjects(checkpoint.uri);
          },
    [openObjects]
  );
  const menuOf = useCallback(
    (checkpoint: CheckpointDocument) =>
      checkpointMenu(checkpoint, job, {
        look: asks ? look : undefined,
        openFolder,
        resume: onResume,
        download: asks ? download : undefined,
        downloadUrl: each => backend.downloadUrl({ uri: each.uri }),
        insert: insertCell,
        copy: onCopy
      }),
    [job, asks, look, openFolder, onResume, download, backend, insertCell, onCopy]
  );

  if (checkpoints.length === 0) {
    return error === null ? <NoCheckpoints /> : <Trouble error={error} />;
  }
  const inside = checkpoints.findIndex(each => each.uri === opened);
  // What is open must be among the rows, however old it is.
  const shown = inside < 0 ? rows : Math.max(rows, checkpoints.length - inside);
  return (
    <div className="rc-Checkpoints">
      <p className="rc-dim rc-num">{summaryText(checkpoints, best)}</p>
      {error !== null && <Trouble error={error} />}
      {failed !== null && <Trouble error={failed} />}
      <div className="rc-Checkpoints-scroll" tabIndex={-1}>
        <table>
          <thead>
            <tr>
              <th scope="col" className="rc-Column-name">
                Checkpoint
              </th>
              <th scope="col" className="rc-Column-number rc-right rc-wide">
                Step
              </th>
              <th scope="col">Metrics</th>
              <th scope="col" className="rc-Column-number rc-right rc-wide">
                Size
              </th>
              <th scope="col" className="rc-Column-number rc-right">
                Age
              </th>
              <td className="rc-Column-menu" />
            </tr>
          </thead>
          <tbody>
            {newestFirst.slice(0, shown).map(checkpoint => (
              <CheckpointRow
                key={checkpoint.uri}
                checkpoint={checkpoint}
                best={best?.checkpoint.uri === checkpoint.uri ? best.metric : null}
                now={now}
                room={props.wide ? 36 : 18}
                open={opened === checkpoint.uri}
                onLook={asks ? look : null}
                onClose={close}
                menuOf={menuOf}
              />
            ))}
          </tbody>
        </table>
        {shown < newestFirst.length && (
          <button
            type="button"
            className="rc-Button rc-Button-quiet"
            onClick={() => {
              setRows(shown + ROWS);
            }}
          >
            Show {countText(Math.min(ROWS, newestFirst.length - shown))} more of{' '}
            {countText(newestFirst.length)}
          </button>
        )}
      </div>
    </div>
  );
}

function summaryText(checkpoints: CheckpointDocument[], best: Best | null): string {
  const size = checkpoints.reduce((sum, each) => sum + each.size, 0);
  const count = `${countText(checkpoints.length)} checkpoint${checkpoints.length === 1 ? '' : 's'}`;
  const found =
    best === null
      ? ''
      : ` · best ${best.metric} ${metricText(best.value)} at ${placeOf(best.checkpoint)}`;
  return `${count} · ${sizeText(size)}${found}`;
}

function NoCheckpoints(): JSX.Element {
  return (
    <div className="rc-Empty">
      <p>
        No checkpoints yet. What the script writes to the folder <code>RUNCTL_CHECKPOINT_DIR</code>{' '}
        is uploaded as soon as it is complete:
      </p>
      <pre className="rc-Text" tabIndex={0} aria-label="Example">
        {EXAMPLE}
      </pre>
    </div>
  );
}
