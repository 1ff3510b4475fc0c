import { durationText, moneyText, rateText } from '../ui/format';

const SECONDS: Record<string, number> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** What the grammar takes as a duration, for the form's own check. */
export const DURATION = '\\s*\\d+(\\.\\d+)?\\s*[smhd]\\s*';

/** Seconds of `90s`, `30m`, `8h`, `2d`; null for anything else. */
export function secondsOf(text: string): number | null {
  const found = /^\s*(\d+(?:\.\d+)?)\s*([smhd])\s*$/.exec(text);
  const size = SECONDS[found?.[2] ?? ''];
  const count = Number(found?.[1]);
  return size === undefined || !(count > 0) ? null : count * size;
}

/** The most a job can cost, in a sentence: its cap, or its price over its time. */
export function mostText(price: number | null, ttl: string, maxCost: string): string {
  const seconds = secondsOf(ttl);
  const cap = maxCost.trim() === '' || !(Number(maxCost) > 0) ? null : Number(maxCost);
  const byTime = price === null || seconds === null ? null : (price * seconds) / 3600;
  const said = limitText(cap, byTime, seconds);
  return price === null
    ? `${said.charAt(0).toUpperCase()}${said.slice(1)}`
    : `${rateText(price)} · ${said}`;
}

function limitText(cap: number | null, byTime: number | null, seconds: number | null): string {
  if (cap !== null && (byTime === null || cap <= byTime)) {
    return `at most ${moneyText(cap)}, its cap`;
  }
  if (byTime !== null && seconds !== null) {
    return `at most ${moneyText(byTime)}, in ${durationText(seconds)}`;
  }
  return seconds === null
    ? 'ends after 8 h, unless the settings say otherwise'
    : `ends after ${durationText(seconds)}`;
}
