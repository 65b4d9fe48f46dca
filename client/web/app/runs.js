// How messages stand in a conversation: by day, and those of one sender together.

import { dayOf } from './dates.js';

const together = 5 * 60_000; // ms between two of a run, at most

/** The lines for messages in their order: { kind: "day", time }, { kind: "unread" } and
 * { kind: "message", message, first, last }, first and last of a run; each with a key.
 * Above the first message of others beyond the seq unreadAfter stands the line "unread". */
export function lines(messages, { me, unreadAfter = Infinity }) {
  const all = [];
  let day, previous;
  let marked = false;
  for (const message of messages) {
    let first = !previous || previous.message.from !== message.from || Math.abs(message.time - previous.message.time) > together;
    const itsDay = dayOf(message.time);
    if (itsDay !== day) {
      // A clock that was set back may bring the same day again.
      all.push({ kind: 'day', key: `day ${itsDay} ${message.seq ?? message.cid}`, time: itsDay });
      day = itsDay;
      first = true;
    }
    if (!marked && message.seq > unreadAfter && message.from !== me) {
      all.push({ kind: 'unread', key: 'unread' });
      marked = first = true;
    }
    if (first && previous) previous.last = true;
    previous = { kind: 'message', key: message.cid ? `${message.from} ${message.cid}` : `seq ${message.seq}`, message, first, last: false };
    all.push(previous);
  }
  if (previous) previous.last = true;
  return all;
}
