// Unacknowledged messages: those queued and those in flight.

import { addressee, isId, newCid, parse } from "./conversation.js";
import { ChatError, badRequest, closed, own, refusal, waitOf } from "./errors.js";
import * as op from "./wire.js";

const UNSURE = 250, UNSURE_MAX = 15_000; // retry delay after errno 10, ms; doubles up to the maximum

// A character that people can see. The server refuses messages without any.
const visible = /[^\s\p{Cc}\p{Cf}\p{DI}\u2800]/u;

/** stored(conversation, seq) is called when a message was stored. */
export function makeOutbox(core, link, stored) {
  const { config, stats } = core;
  let { window } = config;
  let waiting = []; // queued, in ascending order of rid, which is the order of sending
  const flight = new Map(); // in flight, by rid
  const holds = new Map(); // timers by conversation: it is held back until its timer fires
  const behind = new Map(); // by conversation: the rid that must be answered before a refused message is resent
  let flushers = []; // promises of flush
  let reported = true; // whether the last change was reported by "pending"

  const size = () => waiting.length + flight.size;
  const all = () => [...flight.values(), ...waiting].sort((a, b) => a.rid - b.rid);
  const find = (conversation, cid) => all().find((m) => m.cid === cid && m.conversation === conversation);
  const pending = () => all().map(({ user, conversation, text, cid, retry, sent }) => ({ user, conversation, text, cid, retry: retry || sent }));
  return { pending, send, restore, pump, answered, arrived, lost, entered, fail, cancel, flush, close };

  /** Queues a message. Throws if it can't. */
  function send(conversation, text, cid = newCid(), retry = false) {
    check(conversation, text, cid);
    if (core.closed) throw closed();
    if (!link.stays) throw new ChatError(3, "notLoggedIn", "not logged in");
    const same = size() > 0 && find(conversation, cid);
    if (same) return same.promise;
    if (size() >= config.outbox) {
      stats.outboxFull++;
      throw own("outboxFull", `${config.outbox} messages are still unacknowledged`);
    }
    const m = take(core.me?.id ?? 0, conversation, text, cid, retry);
    pump();
    return m.promise;
  }

  function restore(kept) {
    for (const p of Array.isArray(kept) ? kept : []) {
      try {
        const { user, conversation, text, cid, retry } = p;
        check(conversation, text, cid);
        if (user !== 0 && !isId(user)) throw badRequest(`${user} isn't a valid user ID`);
        if (!find(conversation, cid)) take(user, conversation, text, cid, Boolean(retry));
      } catch (error) {
        core.log("warn", "skipped an invalid pending message", error);
      }
    }
    pump();
  }

  function take(user, conversation, text, cid, retry) {
    const m = { rid: core.rid(), user, conversation, text, cid, retry, sent: false, tries: 0 };
    m.promise = new Promise((resolve, reject) => Object.assign(m, { resolve, reject }));
    m.promise.catch(() => {}); // the promise of a restored message isn't used
    waiting.push(m);
    changed();
    return m;
  }

  /** Sends queued messages, as many as the window allows. */
  function pump() {
    if (!link.online || link.quiet || waiting.length === 0) return;
    const kept = [];
    let i = 0;
    for (; i < waiting.length && flight.size < window; i++) {
      const m = waiting[i];
      if (holds.has(m.conversation) || flight.has(behind.get(m.conversation))) {
        kept.push(m);
        continue;
      }
      behind.delete(m.conversation);
      flight.set(m.rid, m);
      stats.sent++;
      if (m.sent) stats.repeated++;
      m.sent = true;
      link.send(request(m));
      changed(); // pending now has retry: true
    }
    waiting = kept.concat(waiting.slice(i));
  }

  /** Handles the answer to a message. Returns false if the frame isn't one. */
  function answered(frame) {
    const m = flight.get(frame.rid);
    if (!m) return false;
    flight.delete(m.rid);
    switch (frame.errno) {
      case 0:
        confirmed(m, frame.seq, frame.time);
        break;
      case op.TOO_FAST:
        again(m);
        link.slowDown(frame);
        break;
      case op.UNAVAILABLE:
      case op.NOT_LOGGED_IN: {
        m.retry = true;
        const wait = Math.min(UNSURE_MAX, UNSURE * 2 ** Math.min(m.tries, 10)) / 2;
        again(m);
        hold(m.conversation, Math.max(core.spread(wait, wait), waitOf(frame)));
        break;
      }
      default:
        stats.refused++;
        failed(m, refusal(frame), false);
    }
    pump();
    return true;
  }

  /** Handles a pushed message. If it is an unacknowledged message of this client,
   * it counts as acknowledged: the answer was lost. Returns false if it isn't. */
  function arrived({ conversation, cid, seq, time }) {
    const m = size() > 0 && find(conversation, cid);
    if (!m) return false;
    remove(m);
    confirmed(m, seq, time);
    pump();
    return true;
  }

  function confirmed(m, seq, time) {
    const { conversation, text, cid } = m;
    stats.acked++;
    core.put("sent", { conversation, text, cid, seq, time });
    m.resolve({ seq, time });
    changed();
    stored(conversation, seq);
  }

  function failed(m, error, maybeStored) {
    const { conversation, text, cid } = m;
    core.put("failed", { conversation, text, cid, error, maybeStored });
    m.reject(error);
    changed();
  }

  function remove(m) {
    flight.delete(m.rid);
    waiting = waiting.filter((other) => other !== m);
  }

  /** Requeues a refused message at its place. It isn't resent until the later
   * messages in flight to the same conversation are answered: the server
   * refuses these too, and all must be resent in order. */
  function again(m) {
    m.tries++;
    for (const other of flight.values()) {
      if (other.conversation === m.conversation && other.rid > Math.max(m.rid, behind.get(m.conversation) ?? 0)) behind.set(m.conversation, other.rid);
    }
    const at = waiting.findIndex((other) => other.rid > m.rid);
    waiting.splice(at < 0 ? waiting.length : at, 0, m);
  }

  /** Sends nothing to a conversation for ms, so that a refused message keeps its
   * place. */
  function hold(conversation, ms) {
    if (holds.has(conversation)) return;
    holds.set(conversation, core.after(ms, () => {
      holds.delete(conversation);
      pump();
    }));
  }

  /** The connection is lost: messages in flight may be stored or not. */
  function lost() {
    for (const m of flight.values()) m.retry = true;
    waiting = all();
    flight.clear();
    behind.clear();
    holds.forEach((timer) => core.cancel(timer));
    holds.clear();
  }

  /** A user has logged in: the messages of other users fail. most is the window
   * that the server allows. */
  function entered(user, most) {
    if (most > 0) window = Math.min(config.window, most);
    for (const m of waiting) m.user ||= user;
    fail(own("loggedOut", "another user has logged in"), (m) => m.user !== user);
  }

  function fail(error, which = () => true) {
    lost();
    const out = waiting.filter(which);
    waiting = waiting.filter((m) => !which(m));
    for (const m of out) failed(m, error, m.retry);
  }

  function cancel(conversation, cid) {
    const m = find(conversation, cid);
    if (!m || m.sent || m.retry) return false;
    remove(m);
    failed(m, own("aborted", "withdrawn by cancel()"), false);
    return true;
  }

  function flush() {
    return new Promise((resolve, reject) => {
      if (core.closed) return reject(closed());
      flushers.push({ resolve, reject });
      changed();
    });
  }

  /** Rejects all promises. pending stays as it is, for the next client. */
  function close() {
    lost();
    for (const { reject } of [...waiting, ...flushers]) reject(closed());
  }

  /** Reports all changes of one turn of the event loop by one "pending" event. */
  function changed() {
    if (!reported) return;
    reported = false;
    queueMicrotask(() => core.enter(() => {
      reported = true;
      if (core.closed) return;
      core.put("pending", pending());
      if (size() > 0) return;
      for (const { resolve } of flushers.splice(0)) resolve();
    }));
  }
}

/** Throws ChatError "badRequest" if the server would refuse the message. */
function check(conversation, text, cid) {
  parse(conversation);
  if (typeof text !== "string" || !visible.test(text) || op.torn(text)) throw badRequest("a message must be a string with a visible character and no unpaired surrogate");
  if (typeof cid !== "string" || cid === "" || op.torn(cid) || op.bytes(cid) > op.MAX_CID) throw badRequest(`a cid must have 1 to ${op.MAX_CID} bytes`);
  // In JSON, a control character takes six bytes.
  if (text.length > op.MAX_MSG || op.bytes(text) > op.MAX_MSG || op.bytes(JSON.stringify(text)) > op.MAX_FRAME - 512) {
    throw badRequest(`a message must have at most ${op.MAX_MSG} bytes, and about ${op.MAX_FRAME} bytes in JSON`);
  }
}

function request({ rid, conversation, text: msg, cid, retry }) {
  const to = addressee(conversation);
  return { msgid: to.groupid ? op.GROUP_CHAT : op.ONE_CHAT, rid, ...to, msg, cid, ...(retry && { retry }) };
}
