// The logged-in user's conversations and people, kept up to date by the SDK's
// events. Views read them and listen to the signals.

import { newCid } from '../sdk/chatd.js';
import { Conversation, page } from './conversation.js';
import { Signal } from './signal.js';
import { lazily, load, save } from './storage.js';

const typingFor = 6000; // ms for which a typing event counts
const listed = 300; // at most this many conversations are loaded into the list
const kept = 20; // conversations whose messages stay in memory

export class Chat {
  conversations = new Map(); // by key
  blocked; // Set of user IDs
  listRead = false; // the list of conversations is loaded
  open = ''; // key of the open conversation

  changed = new Signal(); // (key) a conversation or its messages; empty key: the list was loaded
  peopleChanged = new Signal(); // friends, groups, members, blocks or who is online
  arrived = new Signal(); // (conversation, message) an unread message from another user

  #client;
  #failed; // own messages that were refused: { conversation, text, cid, time, error, maybeStored }
  #since = new Map(); // cid to the time when it was written
  #recent = []; // keys of conversations with messages in memory, the most recent last
  #reading = new Map(); // key to the promise of the page that is being loaded
  #stop = [];

  /** me is { id, name }. Call attach before anything that needs the server. */
  constructor(me) {
    this.me = me;
    this.blocked = new Set(load(`blocked.${me.id}`, []));
    this.#failed = load(`failed.${me.id}`, []);
    for (const message of this.#failed) this.get(message.conversation).waiting.push(this.#waiting(message, 'failed'));
    for (const [key, seq] of Object.entries(load(`readbypeer.${me.id}`, {}))) this.get(key).readByPeer = seq;
    this.keepRead = lazily(() => save(`readbypeer.${me.id}`, Object.fromEntries(
      [...this.conversations].filter(([, c]) => c.readByPeer).map(([key, c]) => [key, c.readByPeer]))));
  }

  /** Handles the client's events, until detach. */
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

  // --- state

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

  /** Returns the name of a conversation, "" if it isn't known yet. */
  nameOf(c) {
    if (c.group) return this.group(c.group)?.name || c.name;
    if (c.peer === this.me.id) return this.me.name;
    return this.friend(c.peer)?.name || c.name;
  }

  /** Returns whether a group's member is online. Friends' states are current, those of
   * others are as of the last request for the group's members. */
  stateOf(c, { id, state }) {
    if (id === this.me.id) return 'online';
    return this.friend(id)?.state ?? c.states.get(id) ?? state;
  }

  /** The conversations to list, most recent first: those with messages, all groups, and the open one. */
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

  // --- actions

  /** Opens a conversation (key "": none). Loads its latest messages if they are missing. */
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
    if (!c.current || !c.messages.length || c.gone) await this.#readEnd(c);
    this.#meet(c);
  }

  /** Requests a user's name, or which members of a group are online. */
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
      // Not essential: the page works without it.
    }
  }

  /** Loads the page before the oldest message in memory. Resolves to false if there is none. */
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

  /** Sends a message, or queues it until there is a connection. */
  send(key, text) {
    this.#submit(key, text, newCid());
  }

  /** Sends a message. If the SDK refuses to queue it, there is no failed event, only an error. */
  #submit(conversation, text, cid, retry = false) {
    this.#client.send(conversation, text, { cid, retry }).catch((error) => this.#refused({ conversation, text, cid, error, maybeStored: retry }));
  }

  /** Sends a failed message again. */
  again(c, message) {
    this.#forget(message.cid);
    c.waiting = c.waiting.filter((other) => other !== message);
    this.#submit(c.key, message.text, message.cid, message.maybeStored);
    this.changed.tell(c.key);
  }

  /** Deletes a failed message, or cancels one that was never sent. */
  discard(c, message) {
    if (message.mark !== 'failed' && !this.#client.cancel(c.key, message.cid)) return;
    this.#forget(message.cid);
    c.waiting = c.waiting.filter((other) => other.cid !== message.cid);
    this.changed.tell(c.key);
  }

  /** Marks a conversation as read up to its last message. */
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

  // --- SDK events

  /** After each login: loads what has changed in the meantime. */
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
      if (client === this.#client && client.state.name === 'online') console.warn('could not load the list of conversations:', error.text ?? error);
    }
  }

  #info(info) {
    const c = this.get(info.conversation);
    c.name = info.name || c.name;
    c.first = info.first;
    c.gone = false;
    c.deleted = Boolean(info.gone);
    c.read = c.known ? Math.max(c.read, info.read) : info.read;
    c.known = true;
    if (info.last >= c.last) {
      c.last = info.last;
      c.latest = info.message ?? c.latest;
      c.time = info.message?.time ?? info.time;
    }
    if (!c.current && c.key !== this.open) c.messages = [];
  }

  /** Loads the messages after those in memory; if there are more than 200, only the last page. */
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

  /** Runs read, one at a time for each conversation. Stores an error in c.failed; the next login retries. */
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
    // A conversation that was never opened keeps only its last message.
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
    if (this.#failed.some((message) => message.cid === cid)) return; // reported twice: by the event and by the promise
    const kept = { conversation, text, cid, maybeStored, time: this.#since.get(cid) ?? Date.now(), error: { errno: error.errno, name: error.name, text: error.text } };
    this.#since.delete(cid);
    if (error.name === 'notFound') this.get(conversation).deleted = true;
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
      c.waiting.push(this.#waiting({ text, cid, time: this.#since.get(cid) }, retry ? 'sending' : 'queued'));
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
      if (c.key === this.open) this.#readEnd(c); // the error says whether the group was deleted
    }
    if (kind === 'groupAdded') {
      const c = this.get(`g${group}`);
      c.gone = false;
      c.time ||= Date.now(); // list it as new until it has a message
      this.#readEnd(c);
    }
    for (const { id, name } of this.groups) {
      if (name) this.get(`g${id}`).name = name; // to still show it after leaving
    }
    this.peopleChanged.tell();
    if (group) this.changed.tell(`g${group}`);
  }

  /** Marks a conversation as recently used. Drops the messages of the least recently used one if there are too many. */
  #remember(key) {
    this.#recent = this.#recent.filter((other) => other !== key);
    this.#recent.push(key);
    if (this.#recent.length > kept) {
      const old = this.#recent[0] === this.open ? this.#recent.splice(1, 1)[0] : this.#recent.shift();
      this.get(old).messages = [];
    }
  }
}
