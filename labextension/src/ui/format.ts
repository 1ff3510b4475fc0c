/** Numbers with their units, the way every door writes them: `$0.37/h`, `98.4 MB`, `1 h 12 m`. */

const SPANS = [
  ['d', 86400, 'h', 3600],
  ['h', 3600, 'm', 60],
  ['m', 60, 's', 1]
] as const;

/** Seconds as at most two units. */
export function durationText(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  for (const [unit, size, smaller, small] of SPANS) {
    if (whole >= size) {
      const rest = Math.floor((whole % size) / small);
      const count = `${String(Math.floor(whole / size))} ${unit}`;
      return rest > 0 ? `${count} ${String(rest).padStart(2, '0')} ${smaller}` : count;
    }
  }
  return `${String(whole)} s`;
}

/** Dollars to the cent, with more digits below ten cents; `unknown` for null. */
export function moneyText(usd: number | null): string {
  if (usd === null) {
    return 'unknown';
  }
  const digits = usd === 0 || usd >= 0.0995 ? 2 : usd < 0.01 ? 4 : 3;
  // Not toLocaleString: it rounds the number's decimal form, Python and toFixed the number itself.
  return `$${usd.toFixed(digits).replace(/\B(?=(\d{3})+\.)/g, ',')}`;
}

/** A price per hour. */
export function rateText(usdPerHour: number | null): string {
  return usdPerHour === null ? 'unknown' : `$${usdPerHour.toFixed(3)}/h`;
}

/** Bytes in powers of 1000. */
export function sizeText(bytes: number): string {
  let size = bytes;
  for (const unit of ['B', 'kB', 'MB', 'GB']) {
    if (size < 1000) {
      return `${size.toFixed(unit === 'B' ? 0 : 1)} ${unit}`;
    }
    size /= 1000;
  }
  return `${size.toFixed(1)} TB`;
}

/** A count with separators. */
export function countText(count: number): string {
  return count.toLocaleString('en-US');
}

/** A metric's value in at most four digits that count. */
export function metricText(value: number): string {
  return Number.isFinite(value) ? Number(value.toPrecision(4)).toString() : String(value);
}

/** How long ago a moment was, in seconds. */
export function ageSeconds(iso: string, now: number = Date.now()): number {
  return Math.max(0, (now - Date.parse(iso)) / 1000);
}

/** `text` in at most `length` characters, its middle replaced: ends tell names apart. */
export function cutMiddle(text: string, length: number): string {
  if (text.length <= length) {
    return text;
  }
  const head = Math.floor((length - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (length - 1 - head))}`;
}
