import type { JSX, KeyboardEvent, ReactNode } from 'react';
import { useId, useRef } from 'react';

/** A tab: its id, and what stands on it. */
export interface Tab<Id extends string> {
  id: Id;
  title: string;
  /** A count beside the title. */
  count?: string;
}

/**
 * Tabs and the panel of the selected one, as the WAI-ARIA practices have them: one stop of the Tab key, arrows, Home
 * and End select.
 */
export function Tabs<Id extends string>(props: {
  label: string;
  tabs: Tab<Id>[];
  selected: Id;
  onSelect: (id: Id) => void;
  children: ReactNode;
}): JSX.Element {
  const { tabs, selected, onSelect } = props;
  const id = useId();
  const list = useRef<HTMLDivElement>(null);
  const onKeyDown = (event: KeyboardEvent): void => {
    const here = tabs.findIndex(tab => tab.id === selected);
    const moves: Record<string, number> = {
      ArrowRight: (here + 1) % tabs.length,
      ArrowLeft: (here - 1 + tabs.length) % tabs.length,
      Home: 0,
      End: tabs.length - 1
    };
    const to = moves[event.key];
    const next = to === undefined ? undefined : tabs[to];
    if (to === undefined || next === undefined) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    onSelect(next.id);
    list.current?.querySelectorAll<HTMLElement>('[role="tab"]')[to]?.focus();
  };
  return (
    <>
      <div
        ref={list}
        className="rc-Tabs"
        role="tablist"
        aria-label={props.label}
        onKeyDown={onKeyDown}
      >
        {tabs.map(tab => (
          <button
            key={tab.id}
            type="button"
            role="tab"
            id={`${id}-${tab.id}`}
            aria-selected={tab.id === selected}
            aria-controls={`${id}-panel`}
            tabIndex={tab.id === selected ? 0 : -1}
            onClick={() => {
              onSelect(tab.id);
            }}
          >
            {/* The bold twin keeps the room, so that the others stand still when this one is selected. */}
            <span className="rc-Tab-title" data-title={tab.title}>
              {tab.title}
            </span>
            {tab.count !== undefined && <span className="rc-num"> {tab.count}</span>}
          </button>
        ))}
      </div>
      <div
        className="rc-Tabs-panel"
        role="tabpanel"
        id={`${id}-panel`}
        aria-labelledby={`${id}-${selected}`}
      >
        {props.children}
      </div>
    </>
  );
}
