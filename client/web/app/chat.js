// The chat of the one who is logged in: the conversations and the people, kept
// up to date by what the SDK tells. Views read it and listen to its signals.

import { Conversation, page } from './conversation.js';
import { Signal } from './signal.js';
import { lazily, load, save } from './storage.js';

const typingFor = 6000; // ms that a note of typing is believed
const listed = 300; // conversations that are read into the list
const kept = 20; // conversations whose messages are kept

export class Chat {
  conversations = new Map(); // by key
  blocked; // Set of user ids
  listRead = false; // the list of conversations has come
  open = ''; // the key of the one that is looked at

  changed = new Signal(); // (key) a conversation, its line and its messages
  peopleChanged = new Signal();
  arrived = new Signal(); // (conversation, message) somebody has said something, now
  came = new Signal(); // (key) one is in a new group, made or joined elsewhere too

  #client;
  #failed; // own messages that were refused, as kept: { conversation, text, cid, time, error, maybeStored }
  #since = new Map(); // cid to when it was written
  #recent = []; // keys of conversations with messages, the latest last
  #reading = new Map(); // key to the promise of a page that is on its way
  #stop = [];

  /** me: { id, name }. client changes with each life of the connection: see attach. */
  constructor(me) {
    this.me = me;
    this.blocked = new Set(load(`blocked.${me.id}`, []));
    this.#failed = load(`failed.${me.id}`, []);
    for (const message of this.#failed) this.get(message.conversation).waiting.push(this.#waiting(message, 'failed'));
    for (const [key, seq] of Object.entries(load(`readbypeer.${me.id}`, {}))) this.get(key).readByPeer = seq;
    this.keepRead = lazily(() => save(`readbypeer.${me.id}`, Object.fromEntries(
      [...this.conversations].filter(([, c]) => c.readByPeer).map(([key, c]) => [key, c.readByPeer]))));
  }

  /** Takes what a client tells, until detach. */
  attach(client) {
    this.#client = client;
    const on = (name, listener) => this.#stop.push(client.on(name, listener));
    on('state', (state) => {
      if (state.name === 'online') this.#catchUp();
    });
    on('message', (message) => this.#message(message));
    on('sent', (sent) => this.#sent(sent));
    on('failed', (failed) => this.#refused(failed));
    on('pending', (pending) => this.#pending(pending));
    on('event', (event) => this.#event(event));
    on('read', ({ conversation, user, seq }) => {
      const c = this.get(conversation);
      if (user === this.me.id) c.read = Math.max(c.read, Math.min(seq, c.last));
      else if (c.peer) {
        c.readByPeer = Math.max(c.readByPeer, seq);
        this.keepRead();
      }
      this.changed.tell(conversation);
    });
    on('presence', () => this.peopleChanged.tell());
    on('change', (change) => this.#change(change));
    on('epoch', () => {
      for (const c of this.conversations.values()) {
        c.messages = [];
        c.last = c.read = c.readByPeer = 0;
        c.latest = null;
      }
      this.#catchUp();
    });
    this.#pending(client.pending);
    if (client.state.name === 'online') this.#catchUp();
  }

  detach() {
    for (const stop of this.#stop) stop();
    this.#stop = [];
    this.keepRead.now();
  }

  get(key) {
    let c = this.conversations.get(key);
    if (!c) {
      c = new Conversation(key);
      this.conversations.set(key, c);
    }
    return c;
  }

  // --- what there is to see

  get friends() {
    return this.#client?.friends ?? [];
  }

  get groups() {
    return this.#client?.groups ?? [];
  }

  friend(id) {
    return this.friends.find((friend) => friend.id === id);
  }

  group(id) {
    return this.groups.find((group) => group.id === id);
  }

  /** The name of a conversation; "" where it isn't known yet. */
  nameOf(c) {
    if (c.group) return this.group(c.group)?.name || c.name;
    if (c.peer === this.me.id) return this.me.name;
    return this.friend(c.peer)?.name || c.name;
  }

  /** Whether a member of a group is there: friends come and go as one is told, others are
   * as they were when last asked for. */
  stateOf(c, { id, state }) {
    if (id === this.me.id) return 'online';
    return this.friend(id)?.state ?? c.states.get(id) ?? state;
  }

  /** Those for the list, the latest first: what was said or begun, and all groups. */
  get list() {
    for (const group of this.groups) this.get(`g${group.id}`).gone = false;
    return [...this.conversations.values()]
      .filter((c) => c.key === this.open || (!c.gone && (c.preview || this.group(c.group))))
      .sort((a, b) => b.order - a.order || (a.key < b.key ? -1 : 1));
  }

  get unread() {
    let n = 0;
    for (const c of this.conversations.values()) if (!c.gone) n += c.unread;
    return n;
  }

  // --- doing

  /** Reads the end of a conversation where it isn't here, for it is looked at now. */
  async show(key) {
    const before = this.open;
    this.open = key;
    if (before && before !== key) {
      this.get(before).trim(page);
      this.changed.tell(before);
    }
    if (!key) return;
    this.#remember(key);
    const c = this.get(key);
    this.changed.tell(key);
    if (!c.current || !c.messages.length) await this.#readEnd(c);
    this.#meet(c);
  }

  /** Asks who is on the other side: a user's name, who of a group is there. */
  async #meet(c) {
    try {
      if (c.group) {
        const { users } = await this.#client.groupUsers(c.group);
        c.states = new Map(users.map(({ id, state }) => [id, state]));
      } else if (!this.nameOf(c)) {
        c.name = (await this.#client.findUser(c.peer)).name;
      }
      this.changed.tell(c.key);
    } catch {
      // It is no more than what would be nice to know.
    }
  }

  /** Reads the page before what is here. Resolves to whether there was one. */
  async readBefore(c) {
    if (!c.messages.length || !c.more) return false;
    return this.#once(c, async () => {
      const { messages, first } = await this.#client.history(c.key, { before: c.messages[0].seq, limit: 2 * page });
      c.first = Math.max(first, messages.length ? 1 : c.messages[0].seq);
      c.prepend(messages);
      this.changed.tell(c.key);
      return messages.length > 0;
    });
  }

  /** Sends a message, now or when there is a connection. */
  send(key, text) {
    this.#client.send(key, text).catch(() => {}); // the events tell
  }

  /** Sends one that was refused once more. */
  again(c, message) {
    this.#forget(message.cid);
    c.waiting = c.waiting.filter((other) => other !== message);
    this.#client.send(c.key, message.text, message.maybeStored ? { cid: message.cid, retry: true } : undefined).catch(() => {});
    this.changed.tell(c.key);
  }

  /** Throws away one that was refused, or takes back one that was never on the wire. */
  discard(c, message) {
    if (message.mark !== 'failed' && !this.#client.cancel(c.key, message.cid)) return;
    this.#forget(message.cid);
    c.waiting = c.waiting.filter((other) => other.cid !== message.cid);
    this.changed.tell(c.key);
  }

  /** All that is here of a conversation has been seen. */
  markRead(c) {
    if (!c.unread || !c.current) return;
    this.#client.markRead(c.key, c.last);
    c.read = c.last;
    c.known = true;
    this.changed.tell(c.key);
  }

  typing(key) {
    this.#client.typing(key);
  }

  // --- what the SDK tells

  /** After each login: what has changed in the meantime, for this device or by another tab of it. */
  async #catchUp() {
    const client = this.#client;
    try {
      let before, more = true;
      for (let n = 0; more && n < listed;) {
        const answer = await client.conversations({ limit: 100, ...(before && { before }) });
        n += answer.conversations.length;
        more = answer.more && answer.conversations.length > 0;
        for (const info of answer.conversations) {
          before = info.time;
          this.#info(info);
        }
      }
      this.listRead = true;
      this.changed.tell('');
      if (this.open) {
        this.#remember(this.open);
        await this.#readEnd(this.get(this.open));
        this.#meet(this.get(this.open));
      }
    } catch (error) {
      if (client === this.#client && client.state.name === 'online') console.warn('the list of conversations', error.text ?? error);
    }
  }

  #info(info) {
    const c = this.get(info.conversation);
    c.name = info.name || c.name;
    c.first = info.first;
    c.gone = false;
    c.read = c.known ? Math.max(c.read, info.read) : info.read;
    c.known = true;
    if (info.last >= c.last) {
      c.last = info.last;
      c.latest = info.message ?? c.latest;
      c.time = info.message?.time ?? info.time;
    }
    if (!c.current && c.key !== this.open) c.messages = [];
  }

  /** Makes what is here reach the end: by the messages after it, or anew where that would be many. */
  async #readEnd(c) {
    return this.#once(c, async () => {
      const from = c.messages.at(-1)?.seq;
      let answer = await this.#client.history(c.key, from ? { after: from, limit: 200 } : { limit: page });
      if (from && answer.more) {
        answer = await this.#client.history(c.key, { limit: page });
        c.messages = [];
      }
      c.first = answer.first;
      c.last = Math.max(c.last, answer.last);
      c.add(answer.messages);
      c.shown = true;
      if (c.key !== this.open) c.trim(page);
      this.changed.tell(c.key);
    });
  }

  /** One page at a time for each conversation. A failure is kept with it: the next state "online" tries again. */
  async #once(c, read) {
    if (this.#reading.has(c.key)) return this.#reading.get(c.key);
    const reading = (async () => {
      try {
        c.failed = null;
        return await read();
      } catch (error) {
        if (error.name === 'notAllowed' || error.name === 'notFound') c.gone = Boolean(c.group);
        c.failed = error;
        this.changed.tell(c.key);
        return false;
      } finally {
        this.#reading.delete(c.key);
      }
    })();
    this.#reading.set(c.key, reading);
    return reading;
  }

  #message(message) {
    const c = this.get(message.conversation);
    if (message.seq <= c.last && !c.messages.length) return;
    if (!c.known && c.last === 0) c.read = message.seq - 1;
    if (c.peer && message.from === c.peer) c.name = message.name;
    // What was never opened keeps its last message alone.
    if (c.messages.length || c.last === 0 || c.key === this.open) c.add([message]);
    else if (message.seq > c.last) c.end(message);
    this.#said(c);
    c.typing.delete(message.from);
    if (message.from === this.me.id) c.read = Math.max(c.read, message.seq);
    this.changed.tell(c.key);
    if (message.from !== this.me.id && message.seq > c.read) this.arrived.tell(c, message);
  }

  #said(c) {
    if (c.key !== this.open) c.trim(page);
    this.#remember(c.key);
  }

  #sent({ conversation, text, cid, seq, time }) {
    const c = this.get(conversation);
    c.waiting = c.waiting.filter((message) => message.cid !== cid);
    this.#since.delete(cid);
    const message = { conversation, seq, from: this.me.id, name: this.me.name, text, cid, time };
    if (c.messages.length || c.last === 0 || c.key === this.open) c.add([message]);
    else if (seq > c.last) c.end(message);
    c.read = Math.max(c.read, seq);
    this.#said(c);
    this.changed.tell(conversation);
  }

  #refused({ conversation, text, cid, error, maybeStored }) {
    if (error.name === 'aborted' || error.name === 'loggedOut' || error.name === 'closed') return;
    const kept = { conversation, text, cid, maybeStored, time: this.#since.get(cid) ?? Date.now(), error: { errno: error.errno, name: error.name, text: error.text } };
    this.#since.delete(cid);
    this.#failed.push(kept);
    save(`failed.${this.me.id}`, this.#failed);
    const c = this.get(conversation);
    c.waiting = c.waiting.filter((message) => message.cid !== cid);
    c.waiting.push(this.#waiting(kept, 'failed'));
    this.changed.tell(conversation);
  }

  #forget(cid) {
    this.#failed = this.#failed.filter((message) => message.cid !== cid);
    save(`failed.${this.me.id}`, this.#failed);
  }

  #waiting({ text, cid, time, error, maybeStored }, mark) {
    return { from: this.me.id, name: this.me.name, text, cid, time, mark, error, maybeStored };
  }

  #pending(pending) {
    const touched = new Set();
    for (const c of this.conversations.values()) {
      if (!c.waiting.length) continue;
      c.waiting = c.waiting.filter((message) => message.mark === 'failed');
      touched.add(c.key);
    }
    for (const { user, conversation, text, cid, retry } of pending) {
      if (user !== this.me.id) continue;
      if (!this.#since.has(cid)) this.#since.set(cid, Date.now());
      const c = this.get(conversation);
      c.waiting.push(this.#waiting({ text, cid, time: this.#since.get(cid) }, retry ? 'sent' : 'queued'));
      touched.add(conversation);
    }
    for (const key of touched) this.changed.tell(key);
  }

  #event({ conversation, from, name, kind }) {
    if (kind !== 'typing' || from === this.me.id) return;
    const c = this.get(conversation);
    c.typing.set(from, { name, until: Date.now() + typingFor });
    setTimeout(() => this.changed.tell(conversation), typingFor + 50);
    this.changed.tell(conversation);
  }

  #change({ kind, user, group }) {
    if (kind === 'blocked' || kind === 'unblocked') {
      this.blocked[kind === 'blocked' ? 'add' : 'delete'](user);
      save(`blocked.${this.me.id}`, [...this.blocked]);
    }
    if (kind === 'groupRemoved') {
      const c = this.get(`g${group}`);
      c.name = this.nameOf(c) || c.name;
      c.gone = true;
    }
    if (kind === 'groupAdded') {
      const c = this.get(`g${group}`);
      c.gone = false;
      c.time ||= Date.now(); // it was begun now, as far as this list goes
      this.#readEnd(c);
    }
    for (const { id, name } of this.groups) {
      if (name) this.get(`g${id}`).name = name; // for when one is no member any more
    }
    this.peopleChanged.tell();
    if (group) this.changed.tell(`g${group}`);
  }

  /** Keeps messages of a few conversations only. */
  #remember(key) {
    this.#recent = this.#recent.filter((other) => other !== key);
    this.#recent.push(key);
    if (this.#recent.length > kept) {
      const old = this.#recent[0] === this.open ? this.#recent.splice(1, 1)[0] : this.#recent.shift();
      this.get(old).messages = [];
    }
  }
}
