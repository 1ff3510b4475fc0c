import type { JSX } from 'react';

import { countText, sizeText } from '../ui/format';
import type { IconName } from './icons';
import { Icon, Mark } from './icons';
import type { LogModel } from './LogModel';

interface BarProps {
  model: LogModel;
  ended: boolean;
  following: boolean;
  unseen: number;
  /** What an action has come to, in words. */
  notice: string;
  searching: boolean;
  times: boolean;
  wrap: boolean;
  /** Address of the whole log; null if only what is held can be saved. */
  address: string | null;
  onFollow: () => void;
  onStay: () => void;
  onSearch: () => void;
  onTimes: () => void;
  onWrap: () => void;
  onCopy: () => void;
  onSave: () => void;
}

/** What is shown of the log, and what can be done with it. */
export function LogBar(props: BarProps): JSX.Element {
  const { model } = props;
  return (
    <div className="rc-Log-bar">
      <FollowButton {...props} />
      {model.skipped > 0 && (
        <span className="rc-Log-skipped rc-num">
          {sizeText(model.skipped)} skipped ·{' '}
          <button
            type="button"
            className="rc-Log-link"
            disabled={model.loadingEarlier || !model.canLoadEarlier}
            onClick={() => {
              props.onStay();
              void model.loadEarlier();
            }}
          >
            load
          </button>
        </span>
      )}
      <span className="rc-Log-notice rc-cut" role="status" title={props.notice}>
        {props.notice}
      </span>
      <span className="rc-Log-amount rc-num" title={heldOf(model)}>
        {amountOf(model)}
      </span>
      <span className="rc-Log-tools">
        <Tool name="search" text="search" pressed={props.searching} onClick={props.onSearch} />
        <Tool name="times" text="time" pressed={props.times} onClick={props.onTimes} />
        <Tool name="wrap" text="wrap" pressed={props.wrap} onClick={props.onWrap} />
        <Tool
          name="copy"
          text="copy"
          title="Copy the selection, or all lines held here"
          onClick={props.onCopy}
        />
        {props.address === null ? (
          <Tool
            name="download"
            text="download"
            title="Save the lines held here"
            onClick={props.onSave}
          />
        ) : (
          <a
            className="rc-Button rc-Button-quiet rc-Log-tool"
            href={props.address}
            download=""
            title="Download the whole log"
            aria-label="download"
          >
            <Icon name="download" />
            <span className="rc-Log-word">download</span>
          </a>
        )}
      </span>
    </div>
  );
}

function Tool(props: {
  name: IconName;
  text: string;
  title?: string;
  pressed?: boolean;
  onClick: () => void;
}): JSX.Element {
  return (
    <button
      type="button"
      className="rc-Button rc-Button-quiet rc-Log-tool"
      aria-label={props.text}
      aria-pressed={props.pressed}
      title={props.title ?? props.text}
      onClick={props.onClick}
    >
      <Icon name={props.name} />
      <span className="rc-Log-word">{props.text}</span>
    </button>
  );
}

/** Says whether the end of the log is in view, and goes there or stays. */
function FollowButton(props: BarProps): JSX.Element {
  const { ended, following, unseen } = props;
  const lines = unseen === 1 ? 'line' : 'lines';
  const word = following ? (ended ? 'end' : 'following') : ended ? 'to the end' : 'paused';
  return (
    <button
      type="button"
      className={`rc-Button rc-Button-quiet rc-Log-follow${following ? '' : ' rc-Log-paused'}`}
      title={following ? 'Stay here' : 'Go to the end'}
      aria-label={unseen === 0 ? word : `${word}, ${countText(unseen)} new ${lines}`}
      onClick={following ? props.onStay : props.onFollow}
    >
      <Mark name={!following ? 'paused' : ended ? 'ended' : 'following'} />
      {unseen === 0 ? (
        <span>{word}</span>
      ) : (
        <>
          <span className="rc-Log-long">{word} ·</span>
          <span className="rc-num">{countText(unseen)} new</span>
          <span className="rc-Log-long">{lines}</span>
        </>
      )}
      {!following && <span>↓</span>}
    </button>
  );
}

function amountOf(model: LogModel): string {
  const { text } = model;
  const held = text.endLine - text.firstLine;
  const before = text.linesBefore;
  const lines = before === null ? held : before + held;
  const count = `${countText(lines)} ${lines === 1 ? 'line' : 'lines'}`;
  return `${before === null ? `last ${count}` : count} · ${sizeText(model.size)}`;
}

function heldOf({ text, size }: LogModel): string {
  const lines = countText(text.endLine - text.firstLine);
  const bytes = `${countText(text.start)} to ${countText(text.end)} of ${countText(size)}`;
  return `${lines} lines held here: bytes ${bytes}`;
}
