/** Hands on the newest of what it is given, at most once in a period. */
export interface Paced<T> {
  give: (value: T) => void;
  stop: () => void;
}

/** Pace `deliver`: the first value goes through at once, of those that come too soon the last one later. */
export function paced<T>(deliver: (value: T) => void, period: number): Paced<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let waiting: { value: T } | null = null;
  const rest = (): void => {
    timer = setTimeout(() => {
      timer = undefined;
      if (waiting !== null) {
        const { value } = waiting;
        waiting = null;
        rest();
        deliver(value);
      }
    }, period);
  };
  return {
    give: value => {
      if (timer !== undefined) {
        waiting = { value };
        return;
      }
      rest();
      deliver(value);
    },
    stop: () => {
      clearTimeout(timer);
      timer = undefined;
      waiting = null;
    }
  };
}
