import type { JSX } from 'react';
import { useState } from 'react';

import { cutMiddle } from '../ui/format';
import { crumbs, folderUri } from './places';

const ADDRESS = /^s3:\/\/[^/\s]+(\/.*)?$/;
const NAME = 24;

/** Where the browser is: parts to go up by, and a box to type any address. */
export function Crumbs(props: { uri: string; onGo: (uri: string) => void }): JSX.Element {
  const [typed, setTyped] = useState<string | null>(null);
  if (typed !== null) {
    const fits = ADDRESS.test(typed.trim());
    return (
      <form
        className="rc-Crumbs-form"
        onSubmit={event => {
          event.preventDefault();
          if (fits) {
            setTyped(null);
            props.onGo(folderUri(typed.trim()));
          }
        }}
        onKeyDown={event => {
          if (event.key === 'Escape') {
            event.stopPropagation();
            setTyped(null);
          }
        }}
      >
        <input
          className="rc-Input rc-mono"
          aria-label="Address"
          aria-invalid={!fits}
          placeholder="s3://bucket/folder/"
          autoFocus
          spellCheck={false}
          value={typed}
          onFocus={event => {
            event.currentTarget.select();
          }}
          onChange={event => {
            setTyped(event.currentTarget.value);
          }}
        />
        <button type="submit" className="rc-Button" disabled={!fits}>
          Go
        </button>
      </form>
    );
  }
  const parts = crumbs(props.uri);
  return (
    <nav className="rc-Crumbs" aria-label="Folder">
      <ol>
        {parts.map((part, index) => (
          <li key={part.uri}>
            <button
              type="button"
              className="rc-Crumbs-part rc-mono"
              title={part.uri}
              aria-current={index === parts.length - 1 ? 'location' : undefined}
              onClick={() => {
                props.onGo(part.uri);
              }}
            >
              {cutMiddle(part.name, NAME)}
            </button>
            <span aria-hidden="true">/</span>
          </li>
        ))}
      </ol>
      <button
        type="button"
        className="rc-Button rc-Button-quiet"
        title="Type an s3:// address"
        onClick={() => {
          setTyped(props.uri);
        }}
      >
        Go to…
      </button>
    </nav>
  );
}
