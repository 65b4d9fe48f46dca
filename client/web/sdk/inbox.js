// Messages that come: each once, in order, receipted, and asked for where one is missing.

import { isId, messageOf, parse, place } from "./conversation.js";
import { waitOf } from "./errors.js";
import { Track } from "./track.js";
import * as wire from "./wire.js";

const HOLE_GRACE = 75; // a push on its way fills most holes
const START_GRACE = 2_000; // for what the server believes we lack, where it hasn't come yet
const SYNC_RETRY = 1_000, SYNC_RETRY_MAX = 30_000; // after a SYNC without progress, doubled up to the other
const RECEIPT_WAIT = 100; // receipts of this long are sent together
const RECEIPT_MAX = 256; // messages after which they are sent at once
const RECEIPTS_OUT = 16; // conversations whose receipts are sent in one go: servers limit frames per second
const READ_SURE = 60_000; // a read receipt so old has arrived, whatever becomes of the connection

const grace = (t) => (t.started ? HOLE_GRACE : START_GRACE);

export class Inbox {
  #core;
  #link;
  #isOurs; // (message): it is one of ours that waits for its answer
  #tracks = new Map(); // by conversation
  #dirty = []; // tracks that may have receipts to send
  #fresh = 0; // messages that came since some were sent
  #timer = null; // of the next receipts
  #settling = null; // a timer: while it runs a backlog may be on its way

  constructor(core, link, isOurs) {
    this.#core = core;
    this.#link = link;
    this.#isOurs = isOurs;
  }

  #track(conversation) {
    let t = this.#tracks.get(conversation);
    if (!t) this.#tracks.set(conversation, (t = new Track(conversation)));
    return t;
  }

  get last() {
    const last = {};
    for (const [conversation, t] of this.#tracks) if (t.handled > 0) last[conversation] = t.handled;
    return last;
  }

  /** Takes over what an earlier life has saved. */
  restore(last) {
    this.forgetAll();
    for (const [conversation, seq] of Object.entries(last ?? {})) {
      parse(conversation);
      if (!isId(seq)) continue;
      const t = this.#track(conversation);
      t.startAt(seq);
      t.receipted = t.handled;
    }
  }

  /** A login is answered. groups: null where they weren't told. */
  entered(frame, groups) {
    if (groups) {
      for (const c of [...this.#tracks.keys()]) {
        if (c[0] === "g" && !groups.some((g) => c === "g" + g.id)) this.forget(c); // left or gone while we were away
      }
    }
    for (const m of frame.offlinemsg ?? []) this.pushed(m, true);
    if (frame.more) this.#settle();
    else {
      // What is not in offlinemsg we are taken to have.
      for (const g of groups ?? []) {
        const t = this.#track("g" + g.id);
        if (t.started) continue;
        this.#show(t, t.assume(g.seq ?? 0));
        t.receipted = t.handled;
      }
    }
    for (const t of this.#tracks.values()) this.#later(t, grace(t));
    this.#schedule();
  }

  /** While a backlog may be on its way, a conversation that nothing has come
   * of must not be receipted by being read. */
  #settle() {
    this.#core.cancel(this.#settling);
    this.#settling = this.#core.after(START_GRACE, () => {
      this.#settling = null;
      for (const t of this.#tracks.values()) this.#touch(t, 0);
    });
  }

  /** The connection is lost. */
  lost() {
    this.#timer = this.#core.cancel(this.#timer);
    this.#settling = this.#core.cancel(this.#settling);
    for (const t of this.#tracks.values()) {
      t.syncing = null;
      t.timer = this.#core.cancel(t.timer);
      // Nobody has said that it arrived, and no server asks for it.
      if (t.readSent > 0 && this.#core.now() - t.readAt < READ_SURE) {
        t.readSent = 0;
        this.#touch(t, 0);
      }
    }
  }

  /** The server takes frames again. */
  resumed() {
    this.#schedule();
    for (const t of this.#tracks.values()) if (t.timer === null) this.#later(t, 0);
  }

  /** Takes in a message, however it came. */
  pushed(frame, backlog = false) {
    const m = messageOf(frame, this.#core.me.id);
    if (backlog) m.backlog = true;
    if (this.#settling !== null) this.#settle();
    if (m.from === this.#core.me.id && this.#isOurs(m)) return;
    this.#add(m.conversation, m.seq, m);
  }

  /** A message of ours is stored. The sending device is not pushed it: the
   * answer puts it into the set. */
  stored(conversation, seq) {
    this.#add(conversation, seq, null);
  }

  #add(conversation, seq, m) {
    const t = this.#track(conversation);
    const before = t.last;
    const { shown, fresh } = t.add(seq, m);
    this.#show(t, shown);
    if (!fresh && m) {
      this.#core.stats.duplicates++;
      t.receipted = Math.min(t.receipted, seq - 1); // the server doesn't know that we have it
    }
    this.#touch(t);
    this.#watch(t, t.last > before);
  }

  #show(t, messages) {
    for (const m of messages) {
      this.#core.events.put("message", m, () => {
        this.#core.stats.received++;
        t.shown(m.seq);
        if (this.#tracks.get(t.conversation) === t) this.#touch(t);
      });
    }
  }

  // --- holes

  /** Sees to the timer of a hole. One that shrinks is being filled: it gets its time anew. */
  #watch(t, progress) {
    if (!t.hole) t.timer = this.#core.cancel(t.timer);
    else if (!t.syncing && (t.timer === null || progress)) this.#later(t, grace(t));
  }

  #later(t, ms) {
    if (!t.hole || t.syncing || !this.#link.online) return;
    this.#core.cancel(t.timer);
    t.timer = this.#core.after(ms, () => {
      t.timer = null;
      this.#fill(t);
    });
  }

  /** Asks the server for what is missing. */
  #fill(t) {
    if (!t.hole || t.syncing || !this.#link.online || this.#link.quiet) return; // resumed comes again
    if (!t.started) {
      // An answer of our own in a conversation that we knew nothing of, and no
      // push from before it: the server holds that we have all that.
      this.#show(t, t.assume(t.lowest - 1));
      this.#touch(t);
      return this.#watch(t, false);
    }
    const request = (t.syncing = { msgid: wire.SYNC, ...place(t.conversation), after: t.last, limit: wire.MAX_PAGE });
    this.#core.stats.syncs++;
    this.#link.conn.call(request).catch((error) => {
      if (error.name !== "busy" || t.syncing !== request) return; // synced or lost have seen to it
      t.syncing = null;
      this.#later(t, SYNC_RETRY);
    });
  }

  /** Takes in the answer to a SYNC if it was for a hole. */
  synced(request, frame) {
    const t = this.#tracks.get(request.groupid ? "g" + request.groupid : "u" + request.peer);
    if (t?.syncing !== request) return;
    t.syncing = null;
    if (frame.errno === wire.NOT_FOUND || frame.errno === wire.NOT_ALLOWED) {
      // Nothing more is to be had here: show what came, and forget.
      while (t.lowest > 0) this.#show(t, t.startAt(t.lowest - 1));
      return this.forget(t.conversation);
    }
    if (frame.errno) return this.#later(t, Math.max(SYNC_RETRY, waitOf(frame)));
    const before = t.last;
    if (frame.first > t.last + 1) this.#show(t, t.startAt(frame.first - 1));
    for (const m of frame.messages ?? []) this.pushed(m);
    this.#touch(t);
    this.#watch(t, false);
    if (!t.hole) t.syncWait = 0;
    else if (t.last === before) this.#later(t, (t.syncWait = Math.min(Math.max(SYNC_RETRY, 2 * t.syncWait), SYNC_RETRY_MAX)));
    else if (frame.more) this.#later(t, 0);
  }

  /** A group begins of which only what follows seq is ours. */
  begin(conversation, seq) {
    const t = this.#track(conversation);
    this.#show(t, t.startAt(seq));
    t.receipted = Math.max(t.receipted, seq);
    this.#touch(t);
    this.#watch(t, true);
  }

  forget(conversation) {
    const t = this.#tracks.get(conversation);
    if (!t) return;
    t.timer = this.#core.cancel(t.timer);
    this.#tracks.delete(conversation);
  }

  forgetAll() {
    for (const conversation of [...this.#tracks.keys()]) this.forget(conversation);
    this.#dirty = [];
    this.#fresh = 0;
  }

  // --- receipts

  /** How far the server may be told that t is read. */
  #readable(t) {
    return t.started ? Math.min(t.read, t.last) : this.#settling === null ? t.read : 0;
  }

  markRead(conversation, seq) {
    const t = this.#track(conversation);
    t.read = Math.max(t.read, t.started ? Math.min(seq, t.high) : seq);
    this.#touch(t);
  }

  /** Notes that t may have receipts to send. */
  #touch(t, fresh = 1) {
    if (t.handled <= t.receipted && this.#readable(t) <= t.readSent) return;
    if (!t.dirty) {
      t.dirty = true;
      this.#dirty.push(t);
    }
    this.#fresh += fresh;
    if (this.#fresh >= RECEIPT_MAX) this.sendReceipts();
    else this.#schedule();
  }

  #schedule() {
    if (this.#timer !== null || this.#dirty.length === 0 || !this.#link.online || this.#link.quiet) return;
    this.#timer = this.#core.after(RECEIPT_WAIT, () => {
      this.#timer = null;
      this.sendReceipts();
    });
  }

  /** Sends receipts, of so many conversations as may be sent in one go; the
   * others' turn comes later. */
  sendReceipts() {
    if (!this.#link.online || this.#link.quiet) return; // entered and resumed come again
    for (const t of this.#dirty.splice(0, RECEIPTS_OUT)) {
      t.dirty = false;
      if (this.#tracks.get(t.conversation) !== t) continue;
      if (t.handled > t.receipted) {
        t.receipted = t.handled;
        t.receiptRID = this.#receipt(t, t.handled, false);
      }
      const read = this.#readable(t);
      if (read > t.readSent) {
        t.readSent = read;
        t.readAt = this.#core.now();
        t.readRID = this.#receipt(t, read, true);
      }
    }
    this.#fresh = 0;
    this.#timer = this.#core.cancel(this.#timer);
    this.#schedule();
  }

  #receipt(t, seq, read) {
    const rid = this.#core.rid();
    this.#core.stats.receipts++;
    const frame = { msgid: wire.RECEIPT, rid, ...place(t.conversation), seq };
    if (read) frame.read = true;
    this.#link.conn.send(frame);
    return rid;
  }

  /** Has a receipt sent again, if it was the last one of its conversation: a
   * later one says the same and more. */
  receiptRefused(rid) {
    for (const t of this.#tracks.values()) {
      if (t.receiptRID === rid) t.receipted = 0;
      else if (t.readRID === rid) t.readSent = 0;
      else continue;
      return this.#touch(t, 0);
    }
  }
}
