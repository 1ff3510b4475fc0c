import type { JSX } from 'react';
import { useId, useLayoutEffect, useRef } from 'react';

import { useConnection } from '../api/context';
import type { CardDocument, CheckpointDocument } from '../api/documents';
import { Metrics } from '../chart/Metrics';
import { LogView } from '../log/LogView';
import { heightOf, linesIn } from '../log/height';
import { Tabs } from '../ui/Tabs';
import { countText } from '../ui/format';
import { Checkpoints } from './Checkpoints';
import { Machine } from './Machine';
import { RecordView } from './RecordView';
import { SavedLog } from './SavedLog';
import { hasEnded } from './states';

export type TabId = 'metrics' | 'log' | 'checkpoints' | 'machine' | 'record';

/** Lines of the log under the curve, and in its own tab. */
const LOG_LINES = { under: 7, alone: 18 };

/** The tabs of a card. */
export function Body(props: {
  card: CardDocument;
  /** Whether there is room for the log under the curve. */
  wide: boolean;
  /** Whether the card has a page for itself. */
  full: boolean;
  tab: TabId;
  onTab: (tab: TabId) => void;
  /** Counts up when the log should get the focus. */
  logWanted: number;
  opened: string | null;
  onOpened: (uri: string | null) => void;
  onResume: ((checkpoint: CheckpointDocument) => void) | undefined;
  onCopy: (text: string) => void;
  onNotice: (text: string) => void;
}): JSX.Element {
  const { card, tab, onTab, onOpened, logWanted } = props;
  const { job } = card;
  const { backend } = useConnection();
  const ended = hasEnded(job.state);
  const id = useId();
  const log = useRef<HTMLDivElement>(null);

  useLayoutEffect(() => {
    if (logWanted > 0) {
      // The log's scroller where there is one already; else what will hold it.
      const target = log.current?.querySelector<HTMLElement>('[role="log"]') ?? log.current;
      target?.focus();
    }
  }, [logWanted]);

  const count = Math.max(job.checkpoint_count, card.checkpoints.length);
  const withLog = tab === 'log' || (tab === 'metrics' && props.wide);
  return (
    <Tabs
      label={`Views of ${job.name}`}
      tabs={[
        { id: 'metrics', title: 'Metrics' },
        { id: 'log', title: 'Log' },
        {
          id: 'checkpoints',
          title: 'Checkpoints',
          ...(count > 0 ? { count: countText(count) } : {})
        },
        { id: 'machine', title: 'Machine' },
        { id: 'record', title: 'Record' }
      ]}
      selected={tab}
      onSelect={onTab}
    >
      {tab === 'metrics' && (
        <Metrics
          job={job.id}
          snapshot={card.series}
          checkpoints={card.checkpoints}
          ended={ended}
          onCheckpoint={checkpoint => {
            onOpened(checkpoint.uri);
            onTab('checkpoints');
          }}
        />
      )}
      {tab === 'checkpoints' && (
        <Checkpoints
          job={job}
          known={card.checkpoints}
          wide={props.wide}
          opened={props.opened}
          onOpened={onOpened}
          onResume={props.onResume}
          onCopy={props.onCopy}
          onNotice={props.onNotice}
        />
      )}
      {tab === 'machine' && <Machine job={job} snapshot={card.series} />}
      {tab === 'record' && <RecordView job={job.id} attempt={job.attempt} />}
      {withLog && (
        // One element for both tabs: what was searched and where one had scrolled to stays.
        <div key={id} ref={log} className="rc-Card-log" tabIndex={-1}>
          {backend.kind === 'snapshot' ? (
            <SavedLog lines={card.log_tail} />
          ) : (
            <LogView job={job.id} height={logHeight(tab, props.full)} ended={ended} />
          )}
        </div>
      )}
    </Tabs>
  );
}

function logHeight(tab: TabId, full: boolean): number {
  if (tab === 'metrics') {
    return heightOf(LOG_LINES.under);
  }
  // In a page of its own the log takes what head, facts and tabs leave.
  const lines = full ? linesIn(window.innerHeight - 400) : 0;
  return heightOf(Math.max(LOG_LINES.alone, lines));
}
