// Messages that come: each once, in order, receipted, and asked for where one is missing.

import { isId, messageOf, parse, place } from "./conversation.js";
import { waitOf } from "./errors.js";
import { Track } from "./track.js";
import * as op from "./wire.js";

const HOLE_GRACE = 75; // a push on its way fills most holes
const START_GRACE = 2_000; // for what the server believes we lack, where it is yet to come
const SYNC_RETRY = 1_000, SYNC_RETRY_MAX = 30_000; // after a SYNC without progress, doubled up to the other
const RECEIPT_WAIT = 100; // receipts of this long are sent together
const RECEIPT_MAX = 256; // messages after which they are sent at once
const RECEIPTS_OUT = 16; // conversations whose receipts are sent in one go: servers limit frames per second
const READ_SURE = 60_000; // a read receipt so old has arrived, whatever becomes of the connection

const grace = (t) => (t.started ? HOLE_GRACE : START_GRACE);

/** isOurs(message): it is one of ours that waits for its answer. */
export function makeInbox(core, link, isOurs) {
  const { stats } = core;
  const tracks = new Map(); // by conversation
  let dirty = []; // tracks that may have receipts to send
  let fresh = 0; // messages that came since some were sent
  let timer = null; // of the next receipts
  let settling = null; // a timer: while it runs a backlog may be on its way
  return { last, restore, entered, lost, resumed, pushed, stored, synced, begin, forget, forgetAll, markRead, paged, sendReceipts, receiptRefused };

  function track(conversation) {
    if (!tracks.has(conversation)) tracks.set(conversation, new Track(conversation));
    return tracks.get(conversation);
  }

  function last() {
    return Object.fromEntries([...tracks.values()].filter((t) => t.handled > 0).map((t) => [t.conversation, t.handled]));
  }

  /** Takes over what an earlier life has saved. */
  function restore(saved) {
    forgetAll();
    for (const [conversation, seq] of Object.entries(saved ?? {})) {
      parse(conversation);
      if (isId(seq)) begin(conversation, seq);
    }
  }

  /** A login is answered. groups: null where they weren't told. */
  function entered(frame, groups) {
    if (groups) {
      for (const c of [...tracks.keys()]) {
        if (c[0] === "g" && !groups.some((g) => c === "g" + g.id)) forget(c); // left or gone while we were away
      }
    }
    for (const m of frame.offlinemsg ?? []) pushed(m, true);
    if (frame.more) settle();
    else {
      // What is not in offlinemsg we are taken to have.
      for (const g of groups ?? []) {
        const t = track("g" + g.id);
        if (t.started) continue;
        show(t, t.assume(g.seq ?? 0));
        t.receipted = t.handled;
      }
    }
    for (const t of tracks.values()) later(t, grace(t));
    schedule();
  }

  /** While a backlog may be on its way, a conversation that nothing has come
   * of must not be receipted by being read. */
  function settle() {
    core.cancel(settling);
    settling = core.after(START_GRACE, () => {
      settling = null;
      for (const t of tracks.values()) touch(t);
    });
  }

  /** The connection is lost. */
  function lost() {
    timer = core.cancel(timer);
    settling = core.cancel(settling);
    for (const t of tracks.values()) {
      t.syncing = null;
      t.timer = core.cancel(t.timer);
      // Nobody has said that it arrived, and no server asks for it.
      if (core.now() - t.readAt < READ_SURE) t.readSent = 0;
      touch(t);
    }
  }

  /** The server takes frames again. */
  function resumed() {
    schedule();
    for (const t of tracks.values()) if (t.timer === null) later(t, 0);
  }

  /** Takes in a message, however it came. */
  function pushed(frame, backlog) {
    const m = messageOf(frame, core.me.id);
    if (backlog) m.backlog = true;
    if (settling !== null) settle();
    if (m.from !== core.me.id || !isOurs(m)) add(m.conversation, m.seq, m);
  }

  /** A message of ours is stored. The sending device is not pushed it: the
   * answer puts it into the set. */
  function stored(conversation, seq) {
    add(conversation, seq, null);
  }

  function add(conversation, seq, m) {
    const t = track(conversation);
    const before = t.last;
    const { shown, known } = t.add(seq, m);
    show(t, shown);
    if (known && m) {
      stats.duplicates++;
      t.receipted = Math.min(t.receipted, seq - 1); // the server is not aware that we have it
    }
    touch(t, m ? 0 : 1);
    watch(t, t.last > before);
  }

  function show(t, messages) {
    for (const m of messages) {
      core.put("message", m, () => {
        stats.received++;
        t.shown(m.seq);
        touch(t, 1);
      });
    }
  }

  // --- holes

  /** Sees to the timer of a hole. One that shrinks is being filled: it gets its time anew. */
  function watch(t, progress) {
    if (!t.hole) t.timer = core.cancel(t.timer);
    else if (t.timer === null || progress) later(t, grace(t));
  }

  function later(t, ms) {
    if (!t.hole || t.syncing || !link.online) return;
    core.cancel(t.timer);
    t.timer = core.after(ms, () => {
      t.timer = null;
      fill(t);
    });
  }

  /** Asks the server for what is missing. */
  function fill(t) {
    if (link.quiet) return; // resumed comes again
    if (!t.started) {
      // An answer of our own in a conversation that we knew nothing of, and no
      // push from before it: the server holds that we have all that.
      show(t, t.assume(t.lowest - 1));
      touch(t);
      return watch(t);
    }
    const request = (t.syncing = { msgid: op.SYNC, ...place(t.conversation), after: t.last, limit: op.MAX_PAGE });
    stats.syncs++;
    link.ask(request).catch((error) => {
      if (error.name !== "busy") return; // synced or lost have seen to it
      t.syncing = null;
      later(t, SYNC_RETRY);
    });
  }

  /** Takes in the answer to a SYNC if it was for a hole. */
  function synced(request, frame) {
    const t = tracks.get(request.groupid ? "g" + request.groupid : "u" + request.peer);
    if (t?.syncing !== request) return;
    t.syncing = null;
    if (frame.errno === op.NOT_FOUND || frame.errno === op.NOT_ALLOWED) {
      // Nothing more is to be had here: show what came, and forget.
      while (t.lowest > 0) show(t, t.startAt(t.lowest - 1));
      return forget(t.conversation);
    }
    if (frame.errno) return later(t, Math.max(SYNC_RETRY, waitOf(frame)));
    const before = t.last;
    if (frame.first > t.last + 1) show(t, t.startAt(frame.first - 1));
    for (const m of frame.messages ?? []) pushed(m);
    touch(t);
    watch(t);
    if (!t.hole) t.syncWait = 0;
    else if (t.last === before) later(t, (t.syncWait = Math.min(Math.max(SYNC_RETRY, 2 * t.syncWait), SYNC_RETRY_MAX)));
    else if (frame.more) later(t, 0);
  }

  /** A conversation begins of which only what follows seq is still to come. */
  function begin(conversation, seq) {
    const t = track(conversation);
    show(t, t.startAt(seq));
    t.receipted = Math.max(t.receipted, seq);
    touch(t);
    watch(t, true);
  }

  function forget(conversation) {
    const t = tracks.get(conversation);
    if (t) t.timer = core.cancel(t.timer);
    tracks.delete(conversation);
  }

  function forgetAll() {
    for (const conversation of [...tracks.keys()]) forget(conversation);
    dirty = [];
    fresh = 0;
  }

  // --- receipts

  /** How far the server may be told that t is read. */
  function readable(t) {
    return t.started ? Math.min(t.read, t.last) : settling === null ? t.read : 0;
  }

  function markRead(conversation, seq) {
    const t = track(conversation);
    t.read = Math.max(t.read, t.started ? Math.min(seq, Math.max(t.high, t.paged)) : seq);
    touch(t);
  }

  /** A page of history may be ahead of its pushes, as after a reconnect; it can be read all the same. */
  function paged(conversation, seq) {
    const t = track(conversation);
    t.paged = Math.max(t.paged, seq);
  }

  /** Notes that t may have receipts to send, of so many messages more. */
  function touch(t, more = 0) {
    if (tracks.get(t.conversation) !== t || (t.handled <= t.receipted && readable(t) <= t.readSent)) return;
    if (!t.dirty) {
      t.dirty = true;
      dirty.push(t);
    }
    fresh += more;
    if (fresh >= RECEIPT_MAX) sendReceipts();
    else schedule();
  }

  function schedule() {
    if (timer !== null || dirty.length === 0 || !link.online || link.quiet) return;
    timer = core.after(RECEIPT_WAIT, () => {
      timer = null;
      sendReceipts();
    });
  }

  /** Sends receipts, of so many conversations as may be sent in one go; the
   * others' turn comes later. */
  function sendReceipts() {
    if (!link.online || link.quiet) return; // entered and resumed come again
    for (const t of dirty.splice(0, RECEIPTS_OUT)) {
      t.dirty = false;
      if (tracks.get(t.conversation) !== t) continue;
      if (t.handled > t.receipted) t.receiptRID = receipt(t, (t.receipted = t.handled));
      if (readable(t) > t.readSent) {
        t.readRID = receipt(t, (t.readSent = readable(t)), true);
        t.readAt = core.now();
      }
    }
    fresh = 0;
    timer = core.cancel(timer);
    schedule();
  }

  function receipt(t, seq, read) {
    const rid = core.rid();
    stats.receipts++;
    link.send({ msgid: op.RECEIPT, rid, ...place(t.conversation), seq, ...(read && { read }) });
    return rid;
  }

  /** Has a receipt sent again, if it was the last one of its conversation: a
   * later one says the same and more. */
  function receiptRefused(rid) {
    for (const t of tracks.values()) {
      if (t.receiptRID === rid) t.receipted = 0;
      else if (t.readRID === rid) t.readSent = 0;
      else continue;
      touch(t);
    }
  }
}
