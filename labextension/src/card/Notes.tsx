import type { JSX } from 'react';

import type { Backend } from '../api/backend';
import type { CardDocument, ErrorDocument } from '../api/documents';
import { useNow } from '../ui/useNow';
import { agoText, clockText } from './clock';

const AGE_PERIOD_MS = 15_000;

/** How old a card is while it is not live, and what was the trouble with reading it: a dim line. */
export function Notes(props: {
  kind: Backend['kind'];
  card: CardDocument;
  live: boolean;
  trouble: ErrorDocument | null;
}): JSX.Element | null {
  const { card, live } = props;
  const now = useNow(!live, AGE_PERIOD_MS);
  const texts = [live ? '' : ageText(props.kind, card.as_of, now, props.trouble), card.note];
  const lines = texts.filter(text => text !== '');
  if (lines.length === 0) {
    return null;
  }
  return (
    <div className="rc-Card-notes rc-dim" role="status">
      {lines.map(line => (
        <p key={line}>{line}</p>
      ))}
    </div>
  );
}

function ageText(
  kind: Backend['kind'],
  asOf: string,
  now: number,
  trouble: ErrorDocument | null
): string {
  const clock = clockText(asOf, now);
  if (kind === 'snapshot') {
    return `Saved view of ${clock}; open it where runctl-jupyter is installed to see it live.`;
  }
  const age = `as of ${clock}, ${agoText(asOf, now)}`;
  return trouble === null
    ? age
    : // What to do comes last: it often ends in a line to type.
      `not live, ${age}; trying again. ${trouble.what} ${trouble.to_resolve}`;
}
