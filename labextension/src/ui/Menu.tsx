import type { JSX, KeyboardEvent, MouseEvent, ReactNode, RefObject } from 'react';
import { useCallback, useEffect, useLayoutEffect, useRef, useState } from 'react';

/** A line of a menu: something to do, an address to download from, or the heading of what follows. */
export type MenuItem =
  | { kind: 'do'; label: string; onSelect: () => void; title?: string; danger?: boolean }
  | { kind: 'link'; label: string; href: string; title?: string }
  | { kind: 'heading'; label: string };

interface Point {
  x: number;
  y: number;
}

const EDGE = 4;

/**
 * The list of a menu, where it was asked for. It lies in the browser's top layer, so that no output area cuts it off.
 *
 * Arrows, Home, End and first letters move; Escape, Tab and a click elsewhere close it.
 */
function MenuList(props: {
  label: string;
  items: MenuItem[];
  at: Point;
  /** The button that opens and closes it: a press there is not a press elsewhere. */
  anchor?: RefObject<HTMLElement>;
  onClose: (refocus: boolean) => void;
}): JSX.Element {
  const { anchor, at, onClose } = props;
  const list = useRef<HTMLDivElement>(null);
  const choices = (): HTMLElement[] => [
    ...(list.current?.querySelectorAll<HTMLElement>('[role="menuitem"]') ?? [])
  ];

  useLayoutEffect(() => {
    const element = list.current;
    if (element === null) {
      return;
    }
    // Some browsers, and the tests' page, have no top layer: there the list is merely fixed.
    if ('showPopover' in element) {
      element.setAttribute('popover', 'manual');
      element.showPopover();
    }
    const { width, height } = element.getBoundingClientRect();
    const below = at.y + height <= window.innerHeight - EDGE;
    const left = Math.max(EDGE, Math.min(at.x, window.innerWidth - width - EDGE));
    const top = Math.max(EDGE, below ? at.y : window.innerHeight - height - EDGE);
    element.style.left = `${String(left)}px`;
    element.style.top = `${String(top)}px`;
    // Without a top layer, a transformed element around it is where its place is counted from.
    const placed = element.getBoundingClientRect();
    element.style.left = `${String(left + left - placed.left)}px`;
    element.style.top = `${String(top + top - placed.top)}px`;
    element.querySelector<HTMLElement>('[role="menuitem"]')?.focus({ preventScroll: true });
  }, [at]);

  useEffect(() => {
    const outside = (event: Event): void => {
      const path = event.composedPath();
      if (
        ![list.current, anchor?.current].some(each => each instanceof Node && path.includes(each))
      ) {
        onClose(false);
      }
    };
    // What is not around it may scroll: a log that follows its end does so all the time.
    const scrolled = ({ target }: Event): void => {
      const lies = list.current;
      if (target instanceof Node && target !== lies && target.contains(lies)) {
        onClose(false);
      }
    };
    const gone = (): void => {
      onClose(false);
    };
    document.addEventListener('pointerdown', outside, true);
    document.addEventListener('scroll', scrolled, true);
    window.addEventListener('resize', gone);
    return () => {
      document.removeEventListener('pointerdown', outside, true);
      document.removeEventListener('scroll', scrolled, true);
      window.removeEventListener('resize', gone);
    };
  }, [anchor, onClose]);

  const onKeyDown = (event: KeyboardEvent): void => {
    const all = choices();
    const here = all.findIndex(each => each === event.target);
    let next: HTMLElement | undefined;
    if (event.key === 'Escape') {
      onClose(true);
    } else if (event.key === 'Tab') {
      onClose(true);
      return;
    } else if (event.key === 'ArrowDown') {
      next = all[(here + 1) % all.length];
    } else if (event.key === 'ArrowUp') {
      next = all[(here - 1 + all.length) % all.length];
    } else if (event.key === 'Home') {
      next = all[0];
    } else if (event.key === 'End') {
      next = all.at(-1);
    } else if (event.key.length === 1 && event.key !== ' ' && !event.ctrlKey && !event.metaKey) {
      const letter = event.key.toLowerCase();
      next = [...all.slice(here + 1), ...all.slice(0, here + 1)].find(each =>
        each.textContent.toLowerCase().startsWith(letter)
      );
    } else {
      // Enter and the space bar press the button; the notebook must not see them.
      event.stopPropagation();
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    next?.focus();
  };

  return (
    <div ref={list} className="rc-Menu" role="menu" aria-label={props.label} onKeyDown={onKeyDown}>
      {props.items.map(item =>
        item.kind === 'heading' ? (
          <div key={`# ${item.label}`} className="rc-Menu-heading" role="presentation">
            {item.label}
          </div>
        ) : item.kind === 'link' ? (
          <a
            key={item.label}
            role="menuitem"
            tabIndex={-1}
            href={item.href}
            download=""
            title={item.title}
            onClick={() => {
              onClose(true);
            }}
          >
            {item.label}
          </a>
        ) : (
          <button
            key={item.label}
            type="button"
            role="menuitem"
            tabIndex={-1}
            className={item.danger === true ? 'rc-tone-bad' : undefined}
            title={item.title}
            onClick={() => {
              onClose(true);
              item.onSelect();
            }}
          >
            {item.label}
          </button>
        )
      )}
    </div>
  );
}

/** A button that opens a menu below itself. Its children are what it shows, `⋯` by default. */
export function MenuButton(props: {
  label: string;
  items: MenuItem[];
  className?: string;
  children?: ReactNode;
}): JSX.Element {
  const button = useRef<HTMLButtonElement>(null);
  const [at, setAt] = useState<Point | null>(null);
  const open = (): void => {
    const box = button.current?.getBoundingClientRect();
    setAt({ x: box?.left ?? 0, y: (box?.bottom ?? 0) + EDGE });
  };
  const close = useCallback((refocus: boolean) => {
    setAt(null);
    if (refocus) {
      button.current?.focus();
    }
  }, []);
  return (
    <>
      <button
        ref={button}
        type="button"
        className={`rc-Button ${props.className ?? 'rc-Button-quiet'}`}
        aria-haspopup="menu"
        aria-expanded={at !== null}
        aria-label={props.children === undefined ? props.label : undefined}
        title={props.children === undefined ? props.label : undefined}
        onClick={() => {
          if (at === null) {
            open();
          } else {
            close(true);
          }
        }}
        onKeyDown={event => {
          if (event.key === 'ArrowDown' && at === null) {
            event.preventDefault();
            event.stopPropagation();
            open();
          }
        }}
      >
        {props.children ?? '⋯'}
      </button>
      {at !== null && (
        <MenuList label={props.label} items={props.items} at={at} anchor={button} onClose={close} />
      )}
    </>
  );
}

/** The context menu of an element: give it `onContextMenu`, and put `menu` anywhere below the same view. */
export function useContextMenu(
  label: string,
  items: MenuItem[]
): { onContextMenu: (event: MouseEvent<HTMLElement>) => void; menu: JSX.Element | null } {
  const [at, setAt] = useState<Point | null>(null);
  const back = useRef<HTMLElement | null>(null);
  const close = useCallback((refocus: boolean) => {
    setAt(null);
    if (refocus) {
      back.current?.focus();
    }
  }, []);
  const onContextMenu = useCallback((event: MouseEvent<HTMLElement>) => {
    // Who has marked text wants the browser's own menu, to copy it.
    if (getSelection()?.isCollapsed === false) {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    const target = event.target instanceof HTMLElement ? event.target : null;
    back.current = target?.closest<HTMLElement>('button, a, [tabindex]') ?? null;
    // The keyboard's menu key has no place: then the menu opens below what has the focus.
    const box = target?.getBoundingClientRect();
    const byKey = event.clientX === 0 && event.clientY === 0;
    setAt(
      byKey ? { x: box?.left ?? 0, y: box?.bottom ?? 0 } : { x: event.clientX, y: event.clientY }
    );
  }, []);
  return {
    onContextMenu,
    menu: at === null ? null : <MenuList label={label} items={items} at={at} onClose={close} />
  };
}
