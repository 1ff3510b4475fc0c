import type { JSX } from 'react';

/** Drawings for the buttons of the bar, where words have no room; 16 × 16, in lines. */
const PATHS = {
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.5 10.5l3.5 3.5',
  times: 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zM8 4.5V8l2.5 1.5',
  wrap: 'M2 3.5h12M2 8h9.5a2.25 2.25 0 0 1 0 4.5H8.5M10.5 10.5l-2 2 2 2M2 12.5h3',
  copy: 'M5.5 5.5h8v8h-8zM3.5 10.5h-1v-8h8v1',
  download: 'M8 2v8M4.5 7 8 10.5 11.5 7M2.5 13.5h11',
  up: 'M3.5 10 8 5.5l4.5 4.5',
  down: 'M3.5 6 8 10.5 12.5 6',
  close: 'M4 4l8 8M12 4l-8 8'
};

export type IconName = keyof typeof PATHS;

/** A drawing that says nothing to a screen reader: its button has a name. */
export function Icon(props: { name: IconName }): JSX.Element {
  return (
    <svg className="rc-Log-icon" viewBox="0 0 16 16" aria-hidden="true">
      <path
        d={PATHS[props.name]}
        fill="none"
        stroke="currentColor"
        strokeWidth="1.4"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}

/** Shapes for how the view stands to the log's end, on 10 × 10. */
const MARKS = {
  following: 'M5 1a4 4 0 1 1 0 8 4 4 0 0 1 0-8z',
  paused: 'M1.5 1h2.5v8H1.5zM6 1h2.5v8H6z',
  ended: 'M1.5 1.5h7v7h-7z'
};

/** The shape before the words. */
export function Mark(props: { name: keyof typeof MARKS }): JSX.Element {
  return (
    <svg className="rc-Log-mark" viewBox="0 0 10 10" aria-hidden="true">
      <path d={MARKS[props.name]} fill="currentColor" />
    </svg>
  );
}
