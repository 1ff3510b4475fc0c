import type { JSX } from 'react';

import type { CostsDocument } from '../api/documents';
import { moneyText, rateText } from '../ui/format';
import { CutName } from './CutName';

/** What is spent: now, so far, today, this week, and on which jobs. */
export function CostsView(props: {
  costs: CostsDocument;
  onJob: (id: string) => void;
}): JSX.Element {
  const { costs } = props;
  const most = Math.max(...costs.jobs.map(job => job.cost_usd), 0);
  const facts: [string, string][] = [
    ['Per hour now', rateText(costs.price_per_hour)],
    ['Running, so far', moneyText(costs.running_usd)],
    ['Today', moneyText(costs.today_usd)],
    ['7 days', moneyText(costs.week_usd)]
  ];
  return (
    <div className="rc-Costs">
      <dl className="rc-Costs-facts">
        {facts.map(([title, text]) => (
          <div key={title}>
            <dt>{title}</dt>
            <dd className="rc-num">{text}</dd>
          </div>
        ))}
      </dl>
      {costs.jobs.length > 0 && (
        <table className="rc-Costs-jobs">
          <caption className="rc-Panel-label">Dearest jobs of the week</caption>
          <thead>
            <tr>
              <th scope="col">
                <span className="rc-hidden">Job</span>
              </th>
              <th scope="col">
                <span className="rc-hidden">Cost</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {costs.jobs.map(job => (
              <tr key={job.id}>
                <th scope="row">
                  <button
                    type="button"
                    className="rc-Panel-link"
                    onClick={() => {
                      props.onJob(job.id);
                    }}
                  >
                    <CutName text={job.name === '' ? job.id : job.name} />
                  </button>
                  <span className="rc-Costs-bar" aria-hidden="true">
                    <span
                      className={job.ended ? undefined : 'rc-Costs-live'}
                      style={{
                        width: `${(most === 0 ? 0 : (100 * job.cost_usd) / most).toFixed(1)}%`
                      }}
                    />
                  </span>
                </th>
                <td className="rc-num">
                  {moneyText(job.cost_usd)}
                  {!job.ended && <span className="rc-dim rc-small">runs</span>}
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      <p className="rc-dim rc-small">
        An estimate at list prices of machines, without disks, storage and traffic; the bill is
        AWS's.
      </p>
    </div>
  );
}
