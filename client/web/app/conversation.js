// One conversation, as far as it is known here: the line in the list, and a piece
// of its log without a hole that ends with the last message.

import { parse } from '../sdk/chatd.js';

export const page = 50; // messages that are read at once, and kept of what isn't open
const most = 3000; // kept of what is open, while its end is looked at

export class Conversation {
  name = '';
  first = 1; // the lowest seq one may see
  last = 0;
  read = 0; // by oneself
  known = false; // read is the server's word; a guess before
  readByPeer = 0;
  time = 0; // of the last message, or of when it was begun
  latest = null; // the last message
  messages = []; // by rising seq
  waiting = []; // own ones that aren't stored: { cid, from, text, time, mark, error }
  typing = new Map(); // user id to { name, until }
  states = new Map(); // of a group: member id to "online" or "offline", as last asked for
  gone = false; // one isn't in the group any more
  shown = false; // its end was read, be it empty
  failed = null; // why it could not be read

  constructor(key) {
    this.key = key;
    ({ peer: this.peer, group: this.group } = parse(key));
  }

  get unread() {
    return Math.max(0, this.last - Math.max(this.read, this.first - 1));
  }

  /** There is more to be read before what is here. */
  get more() {
    return this.messages.length ? this.messages[0].seq > this.first : this.last >= this.first;
  }

  /** Whatever can be read of the end is here. */
  get current() {
    return this.last === 0 || this.last < this.first || this.messages.at(-1)?.seq >= this.last;
  }

  /** Puts messages in, each once, by seq. */
  add(messages) {
    for (const message of messages) {
      let at = this.messages.length;
      while (at > 0 && this.messages[at - 1].seq > message.seq) at--;
      if (at > 0 && this.messages[at - 1].seq === message.seq) continue;
      this.messages.splice(at, 0, message);
    }
    const end = messages.at(-1);
    if (end && end.seq >= this.last) this.end(end);
  }

  /** Puts a page before what is here. */
  prepend(messages) {
    const begin = this.messages[0]?.seq ?? Infinity;
    this.messages.unshift(...messages.filter((message) => message.seq < begin));
  }

  /** Takes note of the last message. */
  end(message) {
    this.last = message.seq;
    this.time = message.time;
    this.latest = message;
  }

  /** Forgets old messages: all but n, or but as many as an open conversation may have. */
  trim(n = most) {
    if (this.messages.length > n) this.messages.splice(0, this.messages.length - Math.min(n, 1000));
  }

  /** Who is typing at a moment: names. */
  typists(now) {
    return [...this.typing.values()].filter(({ until }) => until > now).map(({ name }) => name);
  }

  /** What stands in the list: the last own message that waits, or the last one. */
  get preview() {
    return this.waiting.at(-1) ?? this.latest;
  }

  /** What the list is ordered by. */
  get order() {
    return Math.max(this.time, this.waiting.at(-1)?.time ?? 0);
  }
}
