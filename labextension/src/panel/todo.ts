import type { MenuItem } from '../ui/Menu';

/** A line of a menu that does something. */
export function todo(label: string, onSelect: () => void): MenuItem {
  return { kind: 'do', label, onSelect };
}
