import { useCallback, useState } from 'react';

const PREFIX = 'runctl-jupyter:panel:';

function recall(name: string, fallback: boolean): boolean {
  try {
    const held = localStorage.getItem(PREFIX + name);
    return held === null ? fallback : held === 'true';
  } catch {
    // A sandboxed frame, as of VS Code, has no storage and throws when it is touched.
    return fallback;
  }
}

function keep(name: string, value: boolean): void {
  try {
    localStorage.setItem(PREFIX + name, String(value));
  } catch {
    // No storage, or a full one: the choice then holds as long as the page does.
  }
}

/** A choice that this browser remembers where it can. */
export function useRemembered(
  name: string,
  fallback: boolean
): [boolean, (value: boolean) => void] {
  const [value, setValue] = useState(() => recall(name, fallback));
  const choose = useCallback(
    (chosen: boolean) => {
      setValue(chosen);
      keep(name, chosen);
    },
    [name]
  );
  return [value, choose];
}
