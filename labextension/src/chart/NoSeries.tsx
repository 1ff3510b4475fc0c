import type { JSX } from 'react';
import { useState } from 'react';

import { copyText } from '../ui/copyText';

const EXAMPLE = 'print(f"step={step} loss={loss:.4f}")';

/** What to do to get curves. */
export function NoSeries(props: { ended: boolean }): JSX.Element {
  const [said, setSaid] = useState('');
  const copy = (): void => {
    void copyText(EXAMPLE).then(done => {
      setSaid(done ? 'Copied.' : 'The browser does not allow copying here: select the line.');
    });
  };
  return (
    <div className="rc-Empty rc-NoSeries">
      <strong>{props.ended ? 'No metrics were found.' : 'No metrics yet.'}</strong>
      <span>
        Curves come from what the script prints: <code>key=value</code>, JSON lines, tqdm bars; and
        from TensorBoard event files it writes. A line to begin with:
      </span>
      <span className="rc-NoSeries-line">
        <code>{EXAMPLE}</code>
        <button type="button" className="rc-Button" onClick={copy}>
          Copy
        </button>
        <span role="status">{said}</span>
      </span>
    </div>
  );
}
