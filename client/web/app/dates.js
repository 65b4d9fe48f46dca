// Dates and times, in the browser's language and time zone.

import { locale, text } from './language.js';

const formats = {
  clock: { timeStyle: 'short' },
  weekday: { weekday: 'long' },
  weekdayShort: { weekday: 'short' },
  dayOfYear: { weekday: 'long', day: 'numeric', month: 'long' },
  day: { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' },
  date: { day: 'numeric', month: 'short' },
  dateWithYear: { day: 'numeric', month: 'numeric', year: '2-digit' },
  full: { dateStyle: 'full', timeStyle: 'medium' },
};
const made = {};
const say = (name, time) => (made[name] ??= new Intl.DateTimeFormat(locale, formats[name])).format(time);

/** Returns when the day of a time began. All times here are Unix milliseconds. */
export const dayOf = (time) => new Date(time).setHours(0, 0, 0, 0);

/** Returns the number of calendar days between two times. Days can have 23 or 25 hours. */
const daysAgo = (time, now) => Math.round((dayOf(now) - dayOf(time)) / 86_400_000);

/** Returns when the day of now ends. */
export const tomorrow = (now) => new Date(now).setHours(24, 0, 0, 0);

export const clock = (time) => say('clock', time);
export const full = (time) => say('full', time);

/** Returns the heading above a day's messages. */
export function dayName(time, now) {
  const ago = daysAgo(time, now);
  if (ago === 0) return text.today;
  if (ago === 1) return text.yesterday;
  if (ago > 1 && ago < 7) return say('weekday', time);
  return say(new Date(time).getFullYear() === new Date(now).getFullYear() ? 'dayOfYear' : 'day', time);
}

/** Returns the time to show in the list of conversations. */
export function shortTime(time, now) {
  const ago = daysAgo(time, now);
  if (ago === 0) return say('clock', time);
  if (ago === 1) return text.yesterday;
  if (ago > 1 && ago < 7) return say('weekdayShort', time);
  return say(new Date(time).getFullYear() === new Date(now).getFullYear() ? 'date' : 'dateWithYear', time);
}
