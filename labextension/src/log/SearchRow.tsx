import type { JSX, RefObject } from 'react';

import { countText } from '../ui/format';
import { Icon } from './icons';
import { lastAtMost } from './lastAtMost';
import type { Found } from './useSearch';

interface SearchProps {
  field: RefObject<HTMLInputElement>;
  typed: string;
  regular: boolean;
  found: Found;
  /** Number of the line that the search has come to. */
  current: number | null;
  onType: (typed: string) => void;
  onRegular: (regular: boolean) => void;
  onNext: (forwards: boolean) => void;
  onClose: () => void;
}

/** The row in which a log is searched. */
export function SearchRow(props: SearchProps): JSX.Element {
  const { found } = props;
  return (
    <div className="rc-Log-search" role="search" data-lm-suppress-shortcuts="true">
      <input
        ref={props.field}
        className="rc-Input rc-Log-field"
        type="search"
        aria-label="Search the log"
        placeholder="Search"
        spellCheck={false}
        value={props.typed}
        aria-invalid={found.mistake !== ''}
        title={found.mistake === '' ? undefined : found.mistake}
        onChange={event => {
          props.onType(event.currentTarget.value);
        }}
        onKeyDown={event => {
          if (event.key === 'Enter') {
            event.preventDefault();
            props.onNext(!event.shiftKey);
          }
        }}
      />
      <button
        type="button"
        className="rc-Button rc-Button-quiet rc-mono"
        aria-pressed={props.regular}
        aria-label="Regular expression"
        title="Regular expression"
        onClick={() => {
          props.onRegular(!props.regular);
        }}
      >
        .*
      </button>
      <span className="rc-Log-count rc-num" role="status">
        {countOf(props)}
      </span>
      <button
        type="button"
        className="rc-Button rc-Button-quiet rc-Log-square"
        aria-label="Previous line found"
        title="Previous (Shift+Enter)"
        disabled={found.lines.length === 0}
        onClick={() => {
          props.onNext(false);
        }}
      >
        <Icon name="up" />
      </button>
      <button
        type="button"
        className="rc-Button rc-Button-quiet rc-Log-square"
        aria-label="Next line found"
        title="Next (Enter)"
        disabled={found.lines.length === 0}
        onClick={() => {
          props.onNext(true);
        }}
      >
        <Icon name="down" />
      </button>
      <button
        type="button"
        className="rc-Button rc-Button-quiet rc-Log-square"
        aria-label="Close the search"
        title="Close (Escape)"
        onClick={props.onClose}
      >
        <Icon name="close" />
      </button>
    </div>
  );
}

function countOf({ typed, found, current }: SearchProps): string {
  if (found.mistake !== '') {
    return 'not an expression';
  }
  if (typed === '') {
    return '';
  }
  const count = found.lines.length;
  if (count === 0) {
    return found.busy ? 'searching…' : 'none';
  }
  const at = current === null ? -1 : lastAtMost(count, i => found.lines[i], current);
  const place = at >= 0 && found.lines[at] === current ? `${countText(at + 1)} of ` : '';
  return `${place}${countText(count)}${found.busy ? '…' : ''}`;
}
