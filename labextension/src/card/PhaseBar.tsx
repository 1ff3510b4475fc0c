import type { JSX } from 'react';

import type { JobDocument } from '../api/documents';
import { durationText } from '../ui/format';
import { progressText, shareOf, slownessOf, stretchesOf } from './phases';

/** Where a job is in its life: a stretch for each phase, its seconds, and of the open one how far it is. */
export function PhaseBar(props: { job: JobDocument; now: number }): JSX.Element | null {
  const { job, now } = props;
  const stretches = stretchesOf(job, now);
  if (stretches.length === 0) {
    return null;
  }
  const share = shareOf(job);
  const slowness = slownessOf(stretches);
  return (
    <div className="rc-PhaseBar">
      <ol className="rc-Phases" aria-label="Phases">
        {stretches.map(stretch => {
          const words =
            stretch.name === 'training' && stretch.state !== 'next' ? progressText(job) : '';
          const tone =
            stretch.state === 'broken'
              ? ` rc-Phase-broken rc-Phase-${job.state}`
              : ` rc-Phase-${stretch.state}`;
          const measured = stretch.name === 'training' && stretch.state === 'now' ? share : null;
          return (
            <li
              key={stretch.name}
              className={`rc-Phase${tone}${words === '' ? '' : ' rc-Phase-telling'}`}
              aria-current={stretch.state === 'now' ? 'step' : undefined}
              title={stretch.detail === '' ? undefined : `${stretch.name}: ${stretch.detail}`}
            >
              {measured === null ? (
                <i aria-hidden="true" />
              ) : (
                <i
                  role="progressbar"
                  aria-label="Steps done"
                  aria-valuenow={Math.round(measured * 100)}
                  style={{ backgroundImage: shareImage(measured) }}
                />
              )}
              <span className="rc-Phase-label">
                <span className="rc-Phase-name">{stretch.name}</span>
                {stretch.seconds !== null && !(words !== '' && measured !== null) && (
                  <span className="rc-num">{durationText(stretch.seconds)}</span>
                )}
                {words !== '' && (
                  <span className="rc-Phase-words rc-num" title={words}>
                    <span className="rc-Phase-dot">· </span>
                    {words}
                  </span>
                )}
              </span>
            </li>
          );
        })}
      </ol>
      {slowness !== '' && <p className="rc-small rc-dim">{slowness}</p>}
    </div>
  );
}

function shareImage(share: number): string {
  const edge = `${(share * 100).toFixed(1)}%`;
  return `linear-gradient(90deg, var(--rc-brand) ${edge}, var(--rc-bd) ${edge})`;
}
