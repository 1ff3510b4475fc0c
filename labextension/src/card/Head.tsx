import type { JSX } from 'react';

import type { JobDocument, JobState } from '../api/documents';
import { cutMiddle } from '../ui/format';
import { MenuButton } from '../ui/Menu';
import type { MenuItem } from '../ui/Menu';
import { StateMark } from '../ui/StateMark';
import { shortId } from './states';

/** A button of the head. */
export interface HeadAction {
  label: string;
  title?: string;
  disabled?: boolean;
  onPress: () => void;
}

/** The first line of a card: how the job is, which it is, and what can be done. */
export function Head(props: {
  job: JobDocument;
  state: JobState | 'stopping';
  /** Characters that the name may take. */
  room: number;
  primary: HeadAction | null;
  /** Null where there is no room for the button. */
  onOpenLog: (() => void) | null;
  /** What goes into cells or the clipboard; null when there is no room for a button. */
  code: { label: string; items: MenuItem[] } | null;
  items: MenuItem[];
}): JSX.Element {
  const { job, primary, onOpenLog, code } = props;
  return (
    <header className="rc-Card-head">
      <StateMark state={props.state} />
      <strong className="rc-Card-name rc-cut" title={job.name}>
        {cutMiddle(job.name, props.room)}
      </strong>
      <span className="rc-dim rc-mono rc-Card-id" title={job.id}>
        job {shortId(job.id)} · attempt {job.attempt}
      </span>
      <span className="rc-Card-buttons">
        {onOpenLog !== null && (
          <button type="button" className="rc-Button" onClick={onOpenLog}>
            Open log
          </button>
        )}
        {code !== null && code.items.length > 0 && (
          <MenuButton label={code.label} items={code.items} className="">
            {code.label}
          </MenuButton>
        )}
        {primary !== null && (
          <button
            type="button"
            className="rc-Button rc-Button-primary"
            title={primary.title}
            disabled={primary.disabled}
            onClick={primary.onPress}
          >
            {primary.label}
          </button>
        )}
        {props.items.length > 0 && <MenuButton label="More actions" items={props.items} />}
      </span>
    </header>
  );
}
