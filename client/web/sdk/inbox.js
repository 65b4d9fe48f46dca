// Incoming messages: delivers each once and in order, requests missing ones, and sends receipts.

import { isId, messageOf, parse, place } from "./conversation.js";
import { waitOf } from "./errors.js";
import { Track } from "./track.js";
import * as op from "./wire.js";

// Times in ms.
const GAP_GRACE = 75; // wait before requesting missing messages: a late push fills most gaps
const START_GRACE = 2_000; // the same in a conversation with no pushes yet: the backlog may still be arriving
const SYNC_RETRY = 1_000, SYNC_RETRY_MAX = 30_000; // retry delay after a SYNC without progress; doubles up to the maximum
const RECEIPT_WAIT = 100; // receipts are collected for this long and sent together
const RECEIPT_MAX = 256; // receipts are sent at once after this many messages
const RECEIPTS_OUT = 16; // conversations per batch of receipts: servers limit frames per second
const READ_SURE = 60_000; // a read receipt this old has surely arrived, even if the connection is lost now

const grace = (t) => (t.started ? GAP_GRACE : START_GRACE);

/** isOurs(message) reports whether the message is an unacknowledged one of this
 * client, and handles it as sent if so. */
export function makeInbox(core, link, isOurs) {
  const { stats } = core;
  const tracks = new Map(); // by conversation
  let dirty = []; // tracks that may have receipts to send
  let fresh = 0; // messages received since receipts were sent last
  let timer = null; // sends the next receipts
  let settling = null; // a timer; while it runs, parts of the backlog may still arrive
  return { last, restore, entered, lost, resumed, pushed, stored, synced, begin, forget, forgetAll, markRead, paged, sendReceipts, receiptRefused };

  function track(conversation) {
    if (!tracks.has(conversation)) tracks.set(conversation, new Track(conversation));
    return tracks.get(conversation);
  }

  /** Returns the last handled seq of each conversation, unless it is only assumed. */
  function last() {
    return Object.fromEntries([...tracks.values()].filter((t) => t.handled > 0 && !t.floor).map((t) => [t.conversation, t.handled]));
  }

  /** Restores what last returned in an earlier client. */
  function restore(saved) {
    forgetAll();
    for (const [conversation, seq] of Object.entries(saved ?? {})) {
      parse(conversation);
      if (isId(seq)) begin(conversation, seq);
    }
  }

  /** Handles the answer to a login. groups is null if the answer has none. */
  function entered(frame, groups) {
    if (groups) {
      for (const c of [...tracks.keys()]) {
        if (c[0] === "g" && !groups.some((g) => c === "g" + g.id)) forget(c); // left or dismissed while we were offline
      }
    }
    for (const m of frame.offlinemsg ?? []) pushed(m, true);
    if (frame.more) settle();
    else {
      // The server takes all others as received.
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

  /** Restarts the settling timer. While it runs, conversations without pushes get
   * no receipts: these could include backlog that hasn't arrived. */
  function settle() {
    core.cancel(settling);
    settling = core.after(START_GRACE, () => {
      settling = null;
      for (const t of tracks.values()) touch(t);
    });
  }

  function lost() {
    timer = core.cancel(timer);
    settling = core.cancel(settling);
    for (const t of tracks.values()) {
      t.syncing = null;
      t.timer = core.cancel(t.timer);
      // Read receipts have no ACK: resend a recent one.
      if (core.now() - t.readAt < READ_SURE) t.readSent = 0;
      touch(t);
    }
  }

  /** The end of a rate-limit wait. */
  function resumed() {
    schedule();
    for (const t of tracks.values()) if (t.timer === null) later(t, 0);
  }

  /** Handles a message from a push, a backlog (true), or a SYNC answer (false). */
  function pushed(frame, backlog) {
    const m = messageOf(frame, core.me.id);
    const t = track(m.conversation);
    if (backlog !== false) t.pushed(m.seq);
    if (backlog) m.backlog = true;
    if (settling !== null) settle();
    if (m.from !== core.me.id || !isOurs(m)) add(m.conversation, m.seq, m);
  }

  /** Adds a message of this client that was stored: the server doesn't push it. */
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
      t.receipted = Math.min(t.receipted, seq - 1); // the server hasn't seen our receipt: send another
    }
    touch(t, m ? 0 : 1);
    watch(t, t.last > before);
  }

  /** Delivers messages to the listeners. */
  function show(t, messages) {
    for (const m of messages) {
      core.put("message", m, () => {
        stats.received++;
        t.shown(m.seq);
        touch(t, 1);
      });
    }
  }

  // --- gaps

  /** Starts or stops the timer of a gap. progress: the gap is being filled, so the
   * timer is restarted. */
  function watch(t, progress) {
    if (!t.gap) t.timer = core.cancel(t.timer);
    else if (t.timer === null || progress) later(t, grace(t));
  }

  function later(t, ms) {
    if (!t.gap || t.syncing || !link.online) return;
    core.cancel(t.timer);
    t.timer = core.after(ms, () => {
      t.timer = null;
      fill(t);
    });
  }

  /** Requests the missing messages. */
  function fill(t) {
    if (link.quiet) return; // resumed will call again
    if (!t.started) {
      if (settling !== null) return later(t, START_GRACE);
      // Only ACKs of our own messages came, and no push from before them: the
      // server takes all of those as received.
      show(t, t.assume(t.lowest - 1));
      touch(t);
      return watch(t);
    }
    const request = (t.syncing = { msgid: op.SYNC, ...place(t.conversation), after: t.last, limit: op.MAX_PAGE });
    stats.syncs++;
    link.ask(request).catch((error) => {
      if (error.name !== "busy") return; // synced or lost has handled it
      t.syncing = null;
      later(t, SYNC_RETRY);
    });
  }

  /** Handles the answer to a SYNC if it was sent by fill. */
  function synced(request, frame) {
    const t = tracks.get(request.groupid ? "g" + request.groupid : "u" + request.peer);
    if (t?.syncing !== request) return;
    t.syncing = null;
    if (frame.errno === op.NOT_FOUND || frame.errno === op.NOT_ALLOWED) {
      // The missing messages are out of reach: deliver the others.
      while (t.lowest > 0) show(t, t.startAt(t.lowest - 1));
      return forget(t.conversation);
    }
    if (frame.errno) return later(t, Math.max(SYNC_RETRY, waitOf(frame)));
    const before = t.last;
    if (frame.first > t.last + 1) show(t, t.startAt(frame.first - 1));
    for (const m of frame.messages ?? []) pushed(m, false);
    touch(t);
    watch(t);
    if (!t.gap) t.syncWait = 0;
    else if (t.last === before) later(t, (t.syncWait = Math.min(Math.max(SYNC_RETRY, 2 * t.syncWait), SYNC_RETRY_MAX)));
    else if (frame.more) later(t, 0);
  }

  /** Starts a conversation after seq: earlier messages won't be pushed. */
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

  /** Returns up to which seq the server may be sent a read receipt. */
  function readable(t) {
    return t.started ? Math.min(t.read, t.last) : settling === null ? t.read : 0;
  }

  function markRead(conversation, seq) {
    const t = track(conversation);
    t.read = Math.max(t.read, t.started ? Math.min(seq, Math.max(t.high, t.paged)) : seq);
    touch(t);
  }

  /** Notes that history returned messages up to seq: these can be marked as read
   * before their pushes arrive. */
  function paged(conversation, seq) {
    const t = track(conversation);
    t.paged = Math.max(t.paged, seq);
  }

  /** Schedules the receipts of t, if any. more: how many messages were added. */
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

  /** Sends the receipts of up to RECEIPTS_OUT conversations and schedules the rest. */
  function sendReceipts() {
    if (!link.online || link.quiet) return; // entered or resumed will schedule them
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

  /** Resends a refused receipt, unless a later one includes it. */
  function receiptRefused(rid) {
    for (const t of tracks.values()) {
      if (t.receiptRID === rid) t.receipted = 0;
      else if (t.readRID === rid) t.readSent = 0;
      else continue;
      touch(t);
    }
  }
}
