// The known state of one conversation, with the latest messages, without gaps.

import { parse } from '../sdk/chatd.js';

export const page = 50; // messages to load at once, and to keep of conversations that aren't open
const most = 3000; // messages to keep of the open conversation while its end is visible

export class Conversation {
  name = '';
  first = 1; // lowest seq that the user may see
  last = 0; // seq of the last message
  read = 0; // seq up to which the user has read
  known = false; // the server has reported read; until then it is a guess
  readByPeer = 0; // seq up to which the peer has read
  time = 0; // of the last message, or when the user joined the group; Unix ms
  latest = null; // the last message
  messages = []; // in order of seq
  waiting = []; // own messages that aren't stored: { cid, from, text, time, mark, error }
  typing = new Map(); // user ID to { name, until }
  // Groups only: member ID to "online" or "offline", as of the last request.
  states = new Map();
  gone = false; // the user isn't in the group anymore
  deleted = false; // the peer's account was deleted
  shown = false; // the latest messages were loaded, if any
  failed = null; // error of the last attempt to load messages

  constructor(key) {
    this.key = key;
    ({ peer: this.peer, group: this.group } = parse(key));
  }

  get unread() {
    return Math.max(0, this.last - Math.max(this.read, this.first - 1));
  }

  /** Whether there are older messages to load. */
  get more() {
    return this.messages.length ? this.messages[0].seq > this.first : this.last >= this.first;
  }

  /** Whether the last message is in memory. */
  get current() {
    return this.last === 0 || this.last < this.first || this.messages.at(-1)?.seq >= this.last;
  }

  /** Inserts messages in order of seq. Skips those that are there already. */
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

  /** Inserts a page of older messages. */
  prepend(messages) {
    const begin = this.messages[0]?.seq ?? Infinity;
    this.messages.unshift(...messages.filter((message) => message.seq < begin));
  }

  /** Sets the last message. */
  end(message) {
    this.last = message.seq;
    this.time = message.time;
    this.latest = message;
  }

  /** Drops old messages if there are more than n. Keeps at most 1,000. */
  trim(n = most) {
    if (this.messages.length > n) this.messages.splice(0, this.messages.length - Math.min(n, 1000));
  }

  /** Returns the names of users who are typing. */
  typists(now) {
    return [...this.typing.values()].filter(({ until }) => until > now).map(({ name }) => name);
  }

  /** The message to show in the list: the last unsent one, or the last one. */
  get preview() {
    return this.waiting.at(-1) ?? this.latest;
  }

  /** Sort key of the list, Unix ms. */
  get order() {
    return Math.max(this.time, this.waiting.at(-1)?.time ?? 0);
  }
}
