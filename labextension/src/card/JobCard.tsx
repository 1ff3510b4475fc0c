import type { JSX } from 'react';
import { useCallback, useEffect, useRef, useState } from 'react';

import { useConnection } from '../api/context';
import type { CardDocument, CheckpointDocument, JobDocument } from '../api/documents';
import { Confirm } from '../ui/Confirm';
import { copyText } from '../ui/copyText';
import { cutMiddle, sizeText } from '../ui/format';
import { useContextMenu } from '../ui/Menu';
import { Trouble } from '../ui/Trouble';
import { useNow } from '../ui/useNow';
import { useWidth } from '../ui/useWidth';
import { Body } from './Body';
import type { TabId } from './Body';
import { cardMenu, copyItems, insertItems, resumeLabel } from './cardMenu';
import type { CardDoings } from './cardMenu';
import { EarlierAttempts, Ending } from './Ending';
import { Facts } from './Facts';
import { Head } from './Head';
import type { HeadAction } from './Head';
import { newestCheckpoint, placeOf, stopQuestion } from './loss';
import { Notes } from './Notes';
import { PhaseBar } from './PhaseBar';
import { canResume, hasEnded } from './states';
import { useCard } from './useCard';
import type { LiveCard } from './useCard';
import { useDeeds } from './useDeeds';

/** From this width on the log stays visible under the curve, and the head has room for a menu of code. */
const WIDE = 560;
/** How long the foot says what was copied or downloaded. */
const NOTICE_MS = 20_000;

/** What a card is of. */
export interface JobCardProps {
  job: string;
  /** What is shown until the first live word comes, e.g. what a notebook has saved. */
  snapshot?: CardDocument;
  /** What to begin with; given when the card has a page for itself. */
  focus?: 'log' | 'metrics';
}

/** A job: its state, what it costs and when it ends, where it is in its life, its curve, log and checkpoints. */
export function JobCard(props: JobCardProps): JSX.Element {
  // Another job is another card: nothing of the one before may stay.
  return <CardOfJob key={props.job} {...props} />;
}

function CardOfJob(props: JobCardProps): JSX.Element {
  const { backend } = useConnection();
  const known = useCard(props.job, props.snapshot);
  const { card, trouble } = known;
  if (card !== null) {
    return <Card {...known} card={card} focus={props.focus ?? null} />;
  }
  return (
    <section className="rc-Card" aria-label="Job" aria-busy={trouble === null}>
      {backend.kind === 'snapshot' ? (
        <p className="rc-Empty">Nothing was saved of this job.</p>
      ) : trouble === null ? (
        <>
          <div className="rc-Skeleton" />
          <div className="rc-Skeleton" />
          <div className="rc-Skeleton" />
        </>
      ) : (
        <Trouble error={trouble} />
      )}
    </section>
  );
}

function Card(
  props: LiveCard & { card: CardDocument; focus: JobCardProps['focus'] | null }
): JSX.Element {
  const { card, live, trouble, take, focus } = props;
  const { job } = card;
  const { backend, host } = useConnection();
  const acts = backend.kind !== 'snapshot';
  const root = useRef<HTMLElement>(null);
  const width = useWidth(root);
  const wide = width === null || width >= WIDE;
  const deeds = useDeeds(job, take);
  const [asking, setAsking] = useState(false);
  const [tab, setTab] = useState<TabId>(focus ?? 'metrics');
  const [logWanted, setLogWanted] = useState(0);
  const [opened, setOpened] = useState<string | null>(null);
  const [notice, setNotice] = useState('');
  const ended = hasEnded(job.state);
  const ticking = useNow(live && !ended);
  // Of what is not live nobody knows that it went on: its clock stands where it was read.
  const now = live ? ticking : Date.parse(card.as_of);

  useEffect(() => {
    const timer = setTimeout(() => {
      setNotice('');
    }, NOTICE_MS);
    return () => {
      clearTimeout(timer);
    };
  }, [notice]);

  const showLog = (): void => {
    setTab('log');
    setLogWanted(count => count + 1);
  };
  const copy = useCallback((text: string) => {
    void copyText(text).then(done => {
      setNotice(done ? `Copied ${text}` : `The browser forbids copying. Here it is: ${text}`);
    });
  }, []);
  const closeQuestion = (): void => {
    setAsking(false);
    root.current?.querySelector<HTMLElement>('.rc-Button-primary')?.focus();
  };

  const stoppable = acts && !ended && deeds.state === job.state;
  const resumable = acts && canResume(job) && deeds.state === job.state;
  const resume = resumable
    ? () => {
        deeds.resume();
      }
    : undefined;
  const { openJob, openLog, insertCell } = host;
  const doings: CardDoings = {
    stop: stoppable
      ? () => {
          setAsking(true);
        }
      : undefined,
    resume,
    showError: job.state === 'failed' ? showLog : undefined,
    openLog:
      openLog === undefined
        ? showLog
        : () => {
            openLog(job);
          },
    openJob:
      openJob === undefined
        ? undefined
        : () => {
            openJob(job);
          },
    insert: insertCell,
    copy,
    logUrl: acts ? backend.downloadUrl({ log: job.id }) : null
  };
  const items = cardMenu(card, doings);
  const { onContextMenu, menu } = useContextMenu(`Actions of ${job.name}`, items);
  const code =
    insertCell === undefined
      ? { label: 'Copy as %runctl', items: copyItems(job, doings) }
      : { label: 'Insert code', items: insertItems(card, doings) };

  return (
    <section
      ref={root}
      className="rc-Card"
      aria-label={`Job ${job.name}`}
      // Keys that move in the card must not move the notebook around it.
      data-lm-suppress-shortcuts="true"
    >
      <div onContextMenu={onContextMenu}>
        <Head
          job={job}
          state={deeds.state}
          room={wide ? 32 : 20}
          primary={primaryOf(card, doings, deeds.state)}
          onOpenLog={wide ? doings.openLog : null}
          code={
            wide ? { ...code, items: code.items.filter(item => item.kind !== 'heading') } : null
          }
          items={items}
        />
        <Notes kind={backend.kind} card={card} live={live} trouble={trouble} />
        {asking && stoppable && (
          <Confirm
            {...stopQuestion(card, now)}
            onYes={() => {
              setAsking(false);
              // The button that was pressed goes, and the one that asked rests: the focus needs a place to be.
              root.current
                ?.querySelector<HTMLElement>('.rc-Card-buttons > [aria-haspopup]:last-of-type')
                ?.focus();
              deeds.stop();
            }}
            onNo={closeQuestion}
          />
        )}
        {deeds.error !== null && (
          <Trouble error={deeds.error}>
            <span>
              <button type="button" className="rc-Button" onClick={deeds.dismiss}>
                Dismiss
              </button>
            </span>
          </Trouble>
        )}
        <Facts job={job} now={now} />
        <PhaseBar job={job} now={now} />
        <Ending job={job} checkpoints={card.checkpoints} onResume={resume} />
        <EarlierAttempts attempts={job.earlier} />
      </div>
      {menu}
      <Body
        card={card}
        wide={wide}
        full={focus !== null}
        tab={tab}
        onTab={setTab}
        logWanted={logWanted}
        opened={opened}
        onOpened={setOpened}
        onResume={
          resumable
            ? (checkpoint: CheckpointDocument) => {
                deeds.resume(checkpoint);
              }
            : undefined
        }
        onCopy={copy}
        onNotice={setNotice}
      />
      <Foot job={job} notice={notice} />
    </section>
  );
}

/** The one thing that a state asks for. */
function primaryOf(
  card: CardDocument,
  doings: CardDoings,
  state: JobDocument['state'] | 'stopping'
): HeadAction | null {
  if (state === 'stopping') {
    return { label: 'Stop…', disabled: true, onPress: doings.openLog };
  }
  if (doings.stop !== undefined) {
    return { label: 'Stop…', onPress: doings.stop };
  }
  if (doings.showError !== undefined) {
    return { label: 'Show error', onPress: doings.showError };
  }
  if (doings.resume !== undefined) {
    const newest = newestCheckpoint(card.checkpoints);
    const title = newest === null ? 'from its beginning' : `from ${placeOf(newest)}`;
    return { label: resumeLabel(card), title, onPress: doings.resume };
  }
  return null;
}

/** What ran, and what it has brought; for a moment what was just copied or downloaded. */
function Foot(props: { job: JobDocument; notice: string }): JSX.Element {
  const { job, notice } = props;
  const command = [job.script, ...job.arguments].join(' ');
  const outputs =
    job.output_count === 0
      ? ''
      : `${String(job.output_count)} output${job.output_count === 1 ? '' : 's'} · ${sizeText(job.output_bytes)}`;
  return (
    <footer className="rc-Card-foot">
      <span className="rc-Card-notice rc-cut" role="status" title={notice}>
        {notice}
      </span>
      {notice === '' && (
        <span className="rc-mono rc-cut" title={command}>
          {cutMiddle(command, 80)}
        </span>
      )}
      <span className="rc-num rc-Card-outputs">{outputs}</span>
    </footer>
  );
}
