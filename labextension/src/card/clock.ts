import { durationText } from '../ui/format';

const TIME: Intl.DateTimeFormatOptions = {
  hour: '2-digit',
  minute: '2-digit',
  hourCycle: 'h23'
};
/** Made once: making one takes half a millisecond, and a list makes a text for each row that it draws. */
const TODAY = new Intl.DateTimeFormat('en-GB', TIME);
const ANOTHER_DAY = new Intl.DateTimeFormat('en-GB', { ...TIME, day: 'numeric', month: 'short' });

/** A moment on the clock of whoever looks, with its day unless that is the day of `now`. */
export function clockText(iso: string, now: number): string {
  const moment = new Date(iso);
  const sameDay = moment.toDateString() === new Date(now).toDateString();
  return (sameDay ? TODAY : ANOTHER_DAY).format(moment);
}

/** Seconds from one moment to another; never below zero. */
export function secondsBetween(from: string, to: string | number): number {
  const end = typeof to === 'number' ? to : Date.parse(to);
  return Math.max(0, (end - Date.parse(from)) / 1000);
}

/** How long ago, coarse, so that it does not change with every second: `2 m ago`. */
export function agoText(iso: string, now: number): string {
  const seconds = secondsBetween(iso, now);
  return seconds < 60 ? 'just now' : `${durationText(coarse(seconds))} ago`;
}

function coarse(seconds: number): number {
  return seconds < 3600 ? Math.floor(seconds / 60) * 60 : seconds;
}
