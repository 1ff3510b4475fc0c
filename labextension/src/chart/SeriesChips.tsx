import type { JSX } from 'react';

import { cutMiddle } from '../ui/format';

/** Up to how many chips lie open. */
const OPEN = 8;

/** One chip for each series: which are shown. Many of them are folded away. */
export function SeriesChips(props: {
  names: string[];
  shown: ReadonlySet<string>;
  onToggle: (name: string, shown: boolean) => void;
}): JSX.Element | null {
  const { names, shown } = props;
  if (names.length < 2) {
    return null;
  }
  const chips = (
    <div className="rc-Chips" role="group" aria-label="series that are shown">
      {names.map(name => (
        <button
          key={name}
          type="button"
          className="rc-Chip"
          aria-pressed={shown.has(name)}
          title={name}
          onClick={() => {
            props.onToggle(name, !shown.has(name));
          }}
        >
          {cutMiddle(name, 28)}
        </button>
      ))}
    </div>
  );
  if (names.length <= OPEN) {
    return chips;
  }
  return (
    <details className="rc-Chips-fold">
      <summary className="rc-dim">
        {shown.size} of {names.length} series shown
      </summary>
      {chips}
    </details>
  );
}
