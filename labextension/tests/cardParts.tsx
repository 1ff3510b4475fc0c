import type { JSX } from 'react';

import type { CheckpointDocument, MachineSeries } from '../src/api/documents';

/** Stands in for the log in tests of the card. */
export function LogView(props: { job: string; height?: number; ended?: boolean }): JSX.Element {
  return (
    <div role="log" aria-label="Log" tabIndex={0}>
      log of {props.job}, {props.height} px{props.ended === true ? ', ended' : ''}
    </div>
  );
}

/** Stands in for the curves: a button per checkpoint. */
export function Metrics(props: {
  checkpoints: CheckpointDocument[];
  onCheckpoint: (checkpoint: CheckpointDocument) => void;
}): JSX.Element {
  return (
    <div>
      {props.checkpoints.map(each => (
        <button
          key={each.uri}
          type="button"
          onClick={() => {
            props.onCheckpoint(each);
          }}
        >
          point {each.step}
        </button>
      ))}
    </div>
  );
}

/** Stands in for the machine's curves. */
export function MachineChart(props: { series: MachineSeries | null }): JSX.Element {
  return <div>{props.series?.times.length ?? 0} machine samples</div>;
}
