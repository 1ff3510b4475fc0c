import type { JSX } from 'react';
import { useEffect, useState } from 'react';

import { useConnection } from '../api/context';
import type { JobDocument, MachineSeries, SeriesDocument } from '../api/documents';
import { MachineChart } from '../chart/MachineChart';
import { ofText, processorText } from './Facts';
import { hasEnded } from './states';

/** How busy the machine is, now and over the job's life. */
export function Machine(props: { job: JobDocument; snapshot: SeriesDocument | null }): JSX.Element {
  const { job } = props;
  const series = useMachineSeries(job.id, props.snapshot);
  const sample = job.machine;
  return (
    <div className="rc-Machine">
      {sample !== null && (
        <dl className="rc-Pairs">
          <div>
            <dt>{hasEnded(job.state) ? 'At the end' : 'Now'}</dt>
            <dd className="rc-num">{processorText(sample)}</dd>
          </div>
          {sample.gpus.map((gpu, index) => (
            <div key={index}>
              <dt>GPU {index}</dt>
              <dd className="rc-num">
                {gpu.percent.toFixed(0)} % · {ofText(gpu.memory_used, gpu.memory_total)}
              </dd>
            </div>
          ))}
          {job.instance_id !== null && (
            <div>
              <dt>Instance</dt>
              <dd className="rc-mono">{job.instance_id}</dd>
            </div>
          )}
        </dl>
      )}
      {series === null && sample === null ? (
        <p className="rc-Empty">
          Nothing measured yet. Processor, memory and GPUs are read every few seconds once the
          machine runs the job.
        </p>
      ) : (
        <MachineChart series={series} />
      )}
    </div>
  );
}

function useMachineSeries(job: string, snapshot: SeriesDocument | null): MachineSeries | null {
  const { backend } = useConnection();
  const [heard, setHeard] = useState<SeriesDocument | null>(null);
  useEffect(() => {
    if (backend.kind === 'snapshot') {
      return undefined;
    }
    return backend.subscribe('series', { job }, setHeard);
  }, [backend, job]);
  return (heard ?? snapshot)?.machine ?? null;
}
