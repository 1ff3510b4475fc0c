import type { JSX } from 'react';

/** The card has its own tests; in those of the panel only that it is there counts. */
export function JobCard(props: { job: string }): JSX.Element {
  return <div data-testid="card">{props.job}</div>;
}
