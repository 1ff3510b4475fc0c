import { useRef } from 'react';

/** The same object as long as what is in it (JSON) stays the same: for effects that are dear. */
export function useSame<T>(value: T): T {
  const kept = useRef(value);
  if (JSON.stringify(kept.current) !== JSON.stringify(value)) {
    kept.current = value;
  }
  return kept.current;
}
