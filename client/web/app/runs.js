// Groups messages by day, and consecutive messages of one sender into runs.

import { dayOf } from './dates.js';

const together = 5 * 60_000; // ms between two messages of a run, at most

/** Returns the lines to show for messages: { kind: "day", time }, { kind: "unread" } and
 * { kind: "message", message, first, last }, each with a unique key. first and last say
 * whether the message starts and ends a run. The "unread" line is above the first message
 * of another user with a seq above unreadAfter. */
export function lines(messages, { me, unreadAfter = Infinity }) {
  const all = [];
  let day, previous;
  let marked = false;
  for (const message of messages) {
    let first = !previous || previous.message.from !== message.from || Math.abs(message.time - previous.message.time) > together;
    const itsDay = dayOf(message.time);
    if (itsDay !== day) {
      // The key has the message's seq because a day can appear twice, if a clock was set back.
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
