// Messages that are not acknowledged: those that wait and those on the wire.

import { addressee, isId, newCid, parse } from "./conversation.js";
import { ChatError, badRequest, own, refusal, waitOf } from "./errors.js";
import * as wire from "./wire.js";

const UNSURE = 250, UNSURE_MAX = 15_000; // an errno 10 is tried again after UNSURE, doubled up to the other

export class Outbox {
  #core;
  #link;
  #stored; // (conversation, seq): a message of ours is stored there
  #window;
  #waiting = []; // by rising rid, which is the order of sending
  #flight = new Map(); // by rid
  #holds = new Map(); // timers by conversation: nothing is sent there before
  #flushed = []; // who waits until nothing is left
  #told = true; // of the last change

  constructor(core, link, stored) {
    this.#core = core;
    this.#link = link;
    this.#stored = stored;
    this.#window = core.config.window;
  }

  get size() {
    return this.#waiting.length + this.#flight.size;
  }

  get pending() {
    return this.#all().map(({ user, conversation, text, cid, retry, sent }) => ({ user, conversation, text, cid, retry: retry || sent }));
  }

  #all() {
    return [...this.#flight.values(), ...this.#waiting].sort((a, b) => a.rid - b.rid);
  }

  #find(conversation, cid) {
    return this.#all().find((m) => m.cid === cid && m.conversation === conversation);
  }

  /** Takes a message; throws where it refuses it. */
  send(conversation, text, cid = newCid(), retry = false) {
    check(conversation, text, cid);
    if (this.#core.closed) throw own("closed", "the client is closed");
    if (!this.#link.stays) throw new ChatError(3, "notLoggedIn", "not logged in");
    const same = this.size > 0 && this.#find(conversation, cid);
    if (same) return same.promise;
    if (this.size >= this.#core.config.outbox) {
      this.#core.stats.outboxFull++;
      throw own("outboxFull", "too many messages wait to be sent");
    }
    const m = this.#take(this.#core.me?.id ?? 0, conversation, text, cid, retry);
    this.pump();
    return m.promise;
  }

  restore(pending) {
    for (const p of Array.isArray(pending) ? pending : []) {
      try {
        const { user, conversation, text, cid, retry } = p;
        check(conversation, text, cid);
        if (!isId(user) && user !== 0) throw badRequest(`${user} is no user`);
        if (!this.#find(conversation, cid)) this.#take(user, conversation, text, cid, Boolean(retry));
      } catch (error) {
        this.#core.log("warn", "a message that was kept can't be sent", error);
      }
    }
    this.pump();
  }

  #take(user, conversation, text, cid, retry) {
    const m = { rid: this.#core.rid(), user, conversation, text, cid, retry, sent: false, tries: 0 };
    m.promise = new Promise((resolve, reject) => Object.assign(m, { resolve, reject }));
    m.promise.catch(() => {}); // nobody waits for what was restored
    this.#waiting.push(m);
    this.#changed();
    return m;
  }

  /** Puts waiting messages on the wire, as many as the window takes. */
  pump() {
    const link = this.#link;
    if (!link.online || link.quiet || this.#waiting.length === 0) return;
    const { stats } = this.#core;
    const kept = [];
    let i = 0;
    for (; i < this.#waiting.length && this.#flight.size < this.#window; i++) {
      const m = this.#waiting[i];
      if (this.#holds.has(m.conversation)) {
        kept.push(m);
        continue;
      }
      this.#flight.set(m.rid, m);
      stats.sent++;
      if (m.sent) stats.repeated++;
      m.sent = true;
      link.conn.send(request(m));
    }
    this.#waiting = kept.concat(this.#waiting.slice(i));
    if (i > kept.length) this.#changed(); // what was on the wire may be stored
  }

  /** Takes in a frame if it answers a message; false: it doesn't. */
  answered(frame) {
    const m = this.#flight.get(frame.rid);
    if (!m) return false;
    const { stats } = this.#core;
    this.#flight.delete(m.rid);
    switch (frame.errno) {
      case 0:
        this.#confirmed(m, frame.seq, frame.time);
        break;
      case wire.TOO_FAST:
        this.#again(m);
        this.#link.slowDown(frame);
        break;
      case wire.UNAVAILABLE:
      case wire.NOT_LOGGED_IN: {
        m.retry = true;
        const wait = Math.min(UNSURE_MAX, UNSURE * 2 ** Math.min(m.tries, 10)) / 2;
        this.#again(m);
        this.#hold(m.conversation, Math.max(this.#core.spread(wait, wait), waitOf(frame)));
        break;
      }
      default:
        stats.refused++;
        this.#failed(m, refusal(frame), false);
    }
    this.pump();
    return true;
  }

  /** Takes in a pushed message that is our own, whose answer was lost: that
   * it is here says as much. */
  arrived({ conversation, cid, seq, time }) {
    const m = this.size > 0 && this.#find(conversation, cid);
    if (!m) return false;
    this.#remove(m);
    this.#confirmed(m, seq, time);
    this.pump();
    return true;
  }

  #confirmed(m, seq, time) {
    const { conversation, text, cid } = m;
    this.#core.stats.acked++;
    this.#core.events.put("sent", { conversation, text, cid, seq, time });
    m.resolve({ seq, time });
    this.#changed();
    this.#stored(conversation, seq);
  }

  #failed(m, error, maybeStored) {
    const { conversation, text, cid } = m;
    this.#core.events.put("failed", { conversation, text, cid, error, maybeStored });
    m.reject(error);
    this.#changed();
  }

  #remove(m) {
    this.#flight.delete(m.rid);
    this.#waiting = this.#waiting.filter((other) => other !== m);
  }

  /** Takes m back, to be tried again, at its place. */
  #again(m) {
    m.tries++;
    const at = this.#waiting.findIndex((other) => other.rid > m.rid);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, m);
  }

  /** What follows in the conversation waits with what was refused. */
  #hold(conversation, ms) {
    if (this.#holds.has(conversation)) return;
    this.#holds.set(conversation, this.#core.after(ms, () => {
      this.#holds.delete(conversation);
      this.pump();
    }));
  }

  /** The connection is lost: what was on the wire may be stored or not. */
  lost() {
    for (const m of this.#flight.values()) m.retry = true;
    this.#waiting = this.#all();
    this.#flight.clear();
    for (const timer of this.#holds.values()) this.#core.cancel(timer);
    this.#holds.clear();
  }

  /** A user is logged in: what is another's fails. */
  entered(user, window) {
    if (window > 0) this.#window = Math.min(this.#core.config.window, window);
    for (const m of this.#waiting) m.user ||= user;
    this.fail(own("loggedOut", "another user has logged in"), (m) => m.user !== user);
  }

  fail(error, which = () => true) {
    this.lost();
    const failed = this.#waiting.filter(which);
    this.#waiting = this.#waiting.filter((m) => !which(m));
    for (const m of failed) this.#failed(m, error, m.retry);
  }

  cancel(conversation, cid) {
    const m = this.#find(conversation, cid);
    if (!m || m.sent || m.retry) return false;
    this.#remove(m);
    this.#failed(m, own("aborted", "taken back"), false);
    return true;
  }

  flush() {
    return new Promise((resolve, reject) => {
      if (this.#core.closed) return reject(own("closed", "the client is closed"));
      this.#flushed.push({ resolve, reject });
      this.#changed();
    });
  }

  /** Rejects what waits; pending stays as it is, for the next life. */
  close() {
    this.lost();
    const error = own("closed", "the client is closed");
    for (const who of [...this.#waiting, ...this.#flushed]) who.reject(error);
    this.#flushed = [];
  }

  /** Tells of the changes of one turn together. */
  #changed() {
    if (!this.#told) return;
    this.#told = false;
    queueMicrotask(() => this.#core.enter(() => {
      this.#told = true;
      if (this.#core.closed) return;
      this.#core.events.put("pending", this.pending);
      if (this.size > 0) return;
      for (const who of this.#flushed) who.resolve();
      this.#flushed = [];
    }));
  }
}

/** Throws about what the server's decoder would refuse. */
function check(conversation, text, cid) {
  parse(conversation);
  if (typeof text !== "string" || text === "") throw badRequest("a message must be a text of 1 byte or more");
  if (wire.torn(text)) throw badRequest("a message must not have half of a surrogate pair");
  if (typeof cid !== "string" || cid === "" || wire.torn(cid) || wire.bytes(cid) > wire.MAX_CID) throw badRequest(`a cid must have 1 to ${wire.MAX_CID} bytes`);
  const n = text.length > wire.MAX_MSG ? text.length : wire.bytes(text);
  if (n > wire.MAX_MSG) throw badRequest(`a message must have at most ${wire.MAX_MSG} bytes`);
  // A control character takes six bytes on the wire.
  if (n > wire.MAX_FRAME / 8 && wire.bytes(JSON.stringify(text)) > wire.MAX_FRAME - 512) throw badRequest("a message takes too many bytes on the wire");
}

function request({ rid, conversation, text, cid, retry }) {
  const to = addressee(conversation);
  const frame = { msgid: to.groupid ? wire.GROUP_CHAT : wire.ONE_CHAT, rid, ...to, msg: text, cid };
  if (retry) frame.retry = true;
  return frame;
}
