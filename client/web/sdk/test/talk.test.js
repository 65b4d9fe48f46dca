// Messages: order, no duplicates, gaps, receipts, rate limits, lists and events.

import assert from "node:assert/strict";
import { test } from "node:test";
import { newCid, parse } from "../chatd.js";
import { World, chat, eventNames, fails, later, outcome, settle, wire } from "./fake.js";

const texts = (frames) => frames.map((f) => f.msg);

test("messages queued while offline are sent in order after reconnecting", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  const sent = ["a", "b", "c"].map((t) => w.client.send("u2", t, { cid: "cid-" + t }));
  await w.clock.pass(100);
  const again = w.client.send("u2", "d");
  await w.accept();
  const frames = w.socket.all(wire.ONE_CHAT);
  assert.deepEqual(texts(frames), ["a", "b", "c", "d"]);
  assert.deepEqual(frames[0], { msgid: wire.ONE_CHAT, rid: frames[0].rid, toid: 2, msg: "a", cid: "cid-a" });
  for (const [i, f] of frames.entries()) w.socket.stored(f, i + 1);
  assert.deepEqual(await Promise.all([...sent, again]), [1, 2, 3, 4].map((seq) => ({ seq, time: seq * 1000 })));
  assert.deepEqual(w.events("sent").map((s) => [s.text, s.seq]), [["a", 1], ["b", 2], ["c", 3], ["d", 4]]);
  await w.client.flush();
  assert.equal(w.clock.timers > 0, true, "the timer of the PING must be running");
});

test("unacknowledged messages are resent with retry: true before newer ones", async () => {
  const w = new World();
  await w.login();
  const sent = ["a", "b", "c"].map((t) => w.client.send("g5", t));
  const first = w.socket.all(wire.GROUP_CHAT);
  w.socket.stored(first[0], 1);
  w.socket.drop();
  sent.push(w.client.send("g5", "d"));
  await w.clock.pass(100);
  await w.accept({ groups: [{ id: 5, groupname: "g", groupdesc: "", seq: 1, users: [] }] });
  const second = w.socket.all(wire.GROUP_CHAT);
  assert.deepEqual(texts(second), ["b", "c", "d"]);
  assert.deepEqual(second.map((f) => f.retry), [true, true, undefined]);
  assert.deepEqual(second.slice(0, 2).map((f) => [f.cid, f.rid]), first.slice(1).map((f) => [f.cid, f.rid]));
  for (const [i, f] of second.entries()) w.socket.stored(f, i + 2);
  w.socket.stored(second[0], 99); // a second answer must be ignored
  assert.deepEqual((await Promise.all(sent)).map((r) => r.seq), [1, 2, 3, 4]);
  assert.equal(w.events("sent").length, 4);
  assert.deepEqual([w.client.stats.sent, w.client.stats.repeated, w.client.stats.acked], [6, 2, 4]);
});

test("no more messages are in flight than the server's and the client's window allow", async () => {
  for (const [config, window, want] of [[{}, 3, 3], [{ window: 2 }, 256, 2]]) {
    const w = new World(config);
    await w.login({ window });
    for (let i = 0; i < 10; i++) w.client.send("u2", String(i));
    const seen = [];
    for (let i = 0; i < 10; i++) {
      assert.equal(w.socket.sent.length, Math.min(want, 10 - i));
      const f = w.socket.take(wire.ONE_CHAT);
      seen.push(f.msg);
      w.socket.stored(f, i + 1);
    }
    assert.deepEqual(seen, [..."0123456789"]);
    assert.equal(w.client.pending.length, 0);
  }
});

test("the window is at most 256", async () => {
  const w = new World({ window: 1000 });
  await w.login({ window: 1000 });
  for (let i = 0; i < 300; i++) w.client.send("u2", String(i));
  assert.equal(w.socket.sent.length, 256);
});

test("errno 9: nothing is sent for as long as the server asks, then all in order", async () => {
  const w = new World();
  await w.login();
  const sent = ["a", "b", "c", "d"].map((t, i) => w.client.send(`u${2 + (i % 2)}`, t, { cid: t }));
  const first = w.socket.all(wire.ONE_CHAT);
  w.socket.stored(first[0], 1);
  // Later refusals ask for less, as part of the wait has passed.
  for (const [i, f] of first.slice(1).entries()) w.socket.answer(f, { errno: 9, retry_after_ms: 3_000 - 1_000 * i, cid: f.cid });
  w.socket.push(chat(2));
  sent.push(w.client.send("u4", "e"), w.client.send("u2", "f"));
  const asked = w.client.findUser("bob");
  assert.equal(w.client.tell("u2", "typing"), false, "an event must not be queued while rate limited");
  await w.clock.pass(3_000);
  w.socket.nothingSent(); // no message, receipt or request
  await w.clock.pass(3_000 / 8 + 30);
  const again = w.socket.sent.splice(0);
  assert.deepEqual(again.filter((f) => f.msgid === wire.ONE_CHAT).map((f) => f.msg), ["b", "c", "d", "e", "f"]);
  assert.deepEqual(again.slice(0, 3).map((f) => [f.cid, f.retry]), [["b", undefined], ["c", undefined], ["d", undefined]]);
  for (const f of again) if (f.msgid === wire.ONE_CHAT) w.socket.stored(f, { b: 1, c: 3, d: 2, e: 1, f: 4 }[f.msg]);
  assert.equal((await Promise.all(sent)).length, 6);
  w.socket.answer(again.find((f) => f.msgid === wire.FIND_USER), { id: 2, name: "bob" });
  assert.deepEqual(await asked, { id: 2, name: "bob" });
  await w.clock.pass(100);
  assert.deepEqual(w.socket.all(wire.RECEIPT).map((f) => [f.peer, f.seq]), [[2, 4], [3, 2], [4, 1]]);
  assert.equal(w.client.stats.refused, 0);
});

test("a refused message isn't resent before all later ones in flight are answered", async () => {
  for (const errno of [9, 10]) {
    const w = new World();
    await w.login();
    const sent = ["a", "b", "c"].map((t) => w.client.send("u2", t));
    const first = w.socket.all(wire.ONE_CHAT);
    const refuse = (f) => w.socket.answer(f, { errno, retry_after_ms: 1, cid: f.cid });
    refuse(first[0]);
    sent.push(w.client.send("u2", "new"), w.client.send("u3", "elsewhere"));
    await w.clock.pass(5_000);
    const elsewhere = w.socket.all(wire.ONE_CHAT);
    assert.deepEqual(texts(elsewhere), ["elsewhere"]);
    w.socket.stored(elsewhere[0], 1);
    refuse(first[1]);
    refuse(first[2]);
    await w.clock.pass(5_000);
    const second = w.socket.sent.splice(0).filter((f) => f.msgid !== wire.RECEIPT);
    assert.deepEqual(texts(second), ["a", "b", "c", "new"]);
    for (const [i, f] of second.entries()) w.socket.stored(f, i + 1);
    assert.deepEqual((await Promise.all(sent)).map((r) => r.seq), [1, 2, 3, 4, 1]);
  }
});

test("requests are retried after errno 9, except password changes", async () => {
  const w = new World();
  const s = await w.login();
  const done = w.client.findUser("bob");
  for (let i = 0; i < 3; i++) {
    s.answer(s.take(wire.FIND_USER), { errno: 9, retry_after_ms: 1_000 });
    await settle();
    await w.clock.pass(1_200);
  }
  s.answer(s.take(wire.FIND_USER), { id: 2, name: "bob", state: "online" });
  assert.deepEqual(await done, { id: 2, name: "bob", state: "online" });
  const password = w.client.changePassword("old secret", "new secret");
  s.answer(s.take(wire.PASSWORD), { errno: 9, retry_after_ms: 30_000 });
  assert.equal((await fails(password, "tooFast")).retryAfter, 30_000);
  later(w.client.findUser("bob")); // must not wait because of the password
  s.take(wire.FIND_USER);
  s.push({ msgid: wire.ERROR, errno: 9, errmsg: "too fast", retry_after_ms: 1_000 }); // the answer to an event
  const lost = later(w.client.findUser("carol"));
  s.drop();
  await fails(lost, "notConnected");
  assert.equal(s.sent.length, 0);
});

test("a PING is delayed by a short rate limit, but not by a long one", async () => {
  const w = new World();
  const s = await w.login();
  await w.clock.pass(29_000);
  s.push({ msgid: wire.ERROR, errno: 9, retry_after_ms: 5_000 });
  await w.clock.pass(4_999);
  assert.equal(s.pings, 0);
  await w.clock.pass(1_500);
  assert.equal(s.pings, 1);
  s.push({ msgid: wire.ERROR, errno: 9, retry_after_ms: 60_000 });
  w.client.retryNow();
  assert.equal(s.pings, 1, "retryNow must not send a PING while rate limited");
  await w.clock.pass(45_000);
  assert.equal(s.pings, 2);
});

test("errno 10 holds back only its conversation, longer each time", async () => {
  const w = new World();
  const s = await w.login();
  const first = w.client.send("u2", "a");
  w.client.send("u2", "b");
  w.client.send("u3", "c");
  let [a, b, c] = s.all(wire.ONE_CHAT);
  s.stored(c, 1);
  s.answer(a, { errno: 10, errmsg: "the database is away" });
  s.answer(b, { errno: 10, errmsg: "the database is away" });
  w.client.send("u2", "d");
  w.client.send("u3", "e");
  s.stored(s.take(wire.ONE_CHAT), 2); // e
  const chats = () => s.sent.splice(0).filter((f) => f.msgid !== wire.RECEIPT);
  for (const wait of [187.5, 375, 750]) {
    await w.clock.pass(wait - 1);
    assert.deepEqual(chats(), []);
    await w.clock.pass(1);
    const frames = chats();
    assert.deepEqual(texts(frames), ["a", "b", "d"]);
    assert.equal(frames[0].retry, true);
    for (const f of frames) s.answer(f, { errno: 10 });
  }
  s.drop(); // a new connection ends the wait
  await w.clock.pass(100);
  await w.accept();
  const frames = w.socket.all(wire.ONE_CHAT);
  for (const [i, f] of frames.entries()) w.socket.stored(f, i + 1);
  assert.equal((await first).seq, 1);
});

test("a refused message fails and the others are still sent", async () => {
  const w = new World();
  const s = await w.login();
  const no = later(w.client.send("u2", "no"));
  const yes = w.client.send("u2", "yes");
  const [a, b] = s.all(wire.ONE_CHAT);
  s.answer(a, { errno: 6, errmsg: "blocked" });
  s.stored(b, 1);
  const error = await fails(no, "notAllowed");
  assert.deepEqual([error.errno, error.text, error.message], [6, "blocked", "blocked"]);
  assert.deepEqual(w.events("failed").map(({ text, maybeStored }) => [text, maybeStored]), [["no", false]]);
  assert.equal((await yes).seq, 1);
  s.push({ msgid: wire.ERROR, rid: a.rid, errno: 4 });
  w.client.send("u2", "bad");
  s.push({ msgid: wire.ERROR, rid: s.take(wire.ONE_CHAT).rid, errno: 4, errmsg: "msg: too long" });
  assert.equal(w.events("failed")[0].error.name, "badRequest");
});

test("send rejects invalid messages without sending them", async () => {
  const w = new World({ outbox: 2 });
  await fails(w.client.send("u2", "x"), "notLoggedIn");
  const s = await w.login();
  for (const [conversation, text, options] of [["u0", "x"], ["x2", "x"], ["u2", ""], ["u2", 7], ["u2", "\ud83d"], ["u2", "a\udc00b"], ["u2", "x".repeat(32769)],
    ["u2", "ß".repeat(16385)], ["u2", "\u0001".repeat(11_000)], ["u2", "x", { cid: "" }], ["u2", "x", { cid: "c".repeat(65) }], [7, "x"], ["u9007199254740993", "x"]]) {
    const error = await fails(w.client.send(conversation, text, options), "badRequest");
    assert.equal(error.errno, 4);
  }
  s.nothingSent();
  assert.deepEqual(w.events("failed"), []);
  for (const text of ["x".repeat(32768), "ß".repeat(16384)]) w.client.send("u2", text);
  await fails(w.client.send("u2", "one too many"), "outboxFull");
  assert.equal(s.all(wire.ONE_CHAT).length, 2);
});

test("sending the same cid again in a conversation returns the first promise", async () => {
  const w = new World();
  const s = await w.login();
  const one = w.client.send("u2", "x", { cid: "C" });
  const two = w.client.send("u2", "x", { cid: "C" });
  const other = w.client.send("u3", "x", { cid: "C" });
  const [a, b] = s.all(wire.ONE_CHAT);
  s.stored(a, 1);
  s.stored(b, 9);
  assert.deepEqual([(await one).seq, (await two).seq, (await other).seq], [1, 1, 9]);
  s.nothingSent();
});

test("the retry option is passed on", async () => {
  const w = new World();
  const s = await w.login();
  w.client.send("u2", "x", { cid: "C", retry: true });
  assert.equal(s.take(wire.ONE_CHAT).retry, true);
});

test("pending is reported once per turn and can be restored from JSON", async () => {
  const w = new World();
  const kept = [];
  w.client.on("pending", (p) => kept.push(JSON.stringify(p)));
  await w.login();
  await settle();
  w.socket.drop();
  kept.length = 0;
  w.client.send("u2", "a", { cid: "A" });
  w.client.send("g5", "b", { cid: "B" });
  await settle();
  assert.deepEqual(kept.map((k) => JSON.parse(k).length), [2]);
  await w.clock.pass(100);
  await w.accept();
  w.socket.stored(w.socket.take(wire.ONE_CHAT), 1);
  await settle();
  w.client.close();

  const next = new World();
  next.client.restore([...JSON.parse(kept.at(-1)), { nonsense: true }, null, { user: 1, conversation: "u2", text: "", cid: "D" }]);
  next.client.restore("nonsense");
  assert.equal(next.logged.length, 3);
  assert.deepEqual(next.client.pending, [{ user: 1, conversation: "g5", text: "b", cid: "B", retry: true }]);
  const login = next.client.login("alice", "secret");
  await next.accept();
  await login;
  const again = next.socket.take(wire.GROUP_CHAT);
  assert.deepEqual([again.cid, again.retry], ["B", true]);
  next.client.restore(JSON.parse(kept.at(-1))); // restoring again must add nothing
  next.socket.nothingSent();
  next.socket.stored(again, 7);
  assert.deepEqual(next.events("sent"), [{ conversation: "g5", text: "b", cid: "B", seq: 7, time: 7000 }]);
});

test("pending messages of another user fail at login", async () => {
  const w = new World();
  w.client.restore([{ user: 8, conversation: "u2", text: "not alice's", cid: "A", retry: false }, { user: 1, conversation: "u2", text: "hers", cid: "B", retry: false }]);
  await w.login();
  assert.deepEqual(w.events("failed").map((f) => [f.text, f.error.name, f.maybeStored]), [["not alice's", "loggedOut", false]]);
  assert.equal(w.socket.take(wire.ONE_CHAT).msg, "hers");
});

test("cancel withdraws only messages that haven't been sent", async () => {
  const w = new World({ window: 1 });
  const s = await w.login();
  w.client.send("u2", "a", { cid: "A" });
  const b = later(w.client.send("u2", "b", { cid: "B" }));
  assert.equal(w.client.cancel("u2", "A"), false);
  assert.equal(w.client.cancel("u3", "B"), false);
  assert.equal(w.client.cancel("u2", "B"), true);
  await fails(b, "aborted");
  s.stored(s.take(wire.ONE_CHAT), 1);
  s.nothingSent();
});

test("flush resolves when all messages are acknowledged or refused", async () => {
  const w = new World();
  const s = await w.login();
  assert.deepEqual(await outcome(w.client.flush()), ["ok", undefined]);
  w.client.send("u2", "a");
  w.client.send("u2", "b");
  const done = w.client.flush();
  const [a, b] = s.all(wire.ONE_CHAT);
  s.stored(a, 1);
  assert.equal(await outcome(done), undefined);
  s.answer(b, { errno: 5 });
  assert.deepEqual(await outcome(done), ["ok", undefined]);
});

test("a message whose ACK was lost is acknowledged by its push", async () => {
  const w = new World();
  await w.login();
  const sent = w.client.send("u2", "x", { cid: "C" });
  w.socket.drop();
  await w.clock.pass(100);
  await w.accept({ offlinemsg: [chat(1), { ...chat(2), id: 1, name: "alice", toid: 2, msg: "x", cid: "C" }] });
  assert.deepEqual(await sent, { seq: 2, time: 2000 });
  w.socket.nothingSent();
  assert.deepEqual(w.seqs(), [1], "message 2 must be reported as sent, not as a message");
});

test("messages are delivered once and in order, however they arrive", async () => {
  const w = new World();
  const s = await w.login({ offlinemsg: [chat(3), chat(4)] });
  assert.deepEqual(w.events("message").map((m) => [m.seq, m.backlog]), [[3, true], [4, true]]);
  s.push(chat(4), chat(5), chat(3), chat(5));
  assert.deepEqual(w.events("message"), [{ conversation: "u2", seq: 5, from: 2, name: "bob", text: "m5", cid: "c5", time: 5000 }]);
  s.push(chat(8), chat(7));
  assert.deepEqual(w.seqs(), []);
  s.push(chat(6));
  assert.deepEqual(w.seqs(), [6, 7, 8]);
  await w.clock.pass(75);
  assert.equal(s.sent.filter((f) => f.msgid === wire.SYNC).length, 0, "no SYNC: pushes filled the gap in time");
  assert.equal(w.client.stats.duplicates, 3);
  assert.equal(w.client.stats.received, 6);
});

test("own messages from other devices, notes and group messages get the right conversation", async () => {
  const w = new World();
  const s = await w.login();
  s.push({ ...chat(1), id: 1, name: "alice", toid: 2 }, { ...chat(1), id: 1, name: "alice", toid: 1 }, { ...chat(1), msgid: wire.GROUP_CHAT, toid: undefined, groupid: 5 });
  assert.deepEqual(w.events("message").map((m) => m.conversation), ["u2", "u1", "g5"]);
});

test("a gap is requested after 75 ms, page by page", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1), chat(500), chat(501));
  await w.clock.pass(74);
  s.nothingSent();
  await w.clock.pass(1);
  const page = (from, to, more) => ({ peer: 2, messages: Array.from({ length: to - from + 1 }, (_, i) => chat(from + i)), first: 1, last: 501, more });
  let q = s.take(wire.SYNC);
  assert.deepEqual(q, { msgid: wire.SYNC, rid: q.rid, peer: 2, after: 1, limit: 200 });
  s.answer(q, page(2, 201, true));
  await w.clock.pass(0);
  q = s.sent.filter((f) => f.msgid === wire.SYNC)[0];
  assert.equal(q.after, 201);
  s.answer(q, page(202, 401, true));
  await w.clock.pass(0);
  q = s.sent.filter((f) => f.msgid === wire.SYNC)[1];
  assert.equal(q.after, 401);
  s.answer(q, page(402, 501, false));
  assert.deepEqual(w.seqs(), Array.from({ length: 501 }, (_, i) => i + 1));
  assert.equal(w.client.stats.syncs, 3);
});

test("the seq of an own message can reveal a gap", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1));
  w.client.send("u2", "mine");
  s.stored(s.take(wire.ONE_CHAT), 3);
  await w.clock.pass(75);
  s.answer(s.take(wire.SYNC), { peer: 2, messages: [chat(2), { ...chat(3), id: 1, toid: 2 }], first: 1, last: 3, more: false });
  assert.deepEqual(w.seqs(), [1, 2]);
  await w.clock.pass(100);
  assert.equal(s.all(wire.RECEIPT).at(-1).seq, 3);
});

test("an ACK in an unknown conversation waits for earlier messages before it is receipted", async () => {
  const w = new World();
  const s = await w.login({ more: true });
  w.client.send("u2", "mine");
  s.stored(s.take(wire.ONE_CHAT), 7);
  await w.clock.pass(1_999);
  s.nothingSent();
  s.push(chat(5), chat(6)); // from the backlog
  assert.deepEqual(w.seqs(), [5, 6]);
  await w.clock.pass(100);
  assert.equal(s.take(wire.RECEIPT).seq, 7);

  w.client.send("u3", "mine");
  s.stored(s.take(wire.ONE_CHAT), 9);
  await w.clock.pass(2_100);
  assert.equal(s.take(wire.RECEIPT).seq, 9, "seq of the receipt: no earlier messages will come");
  s.push({ ...chat(8), id: 3 });
  assert.deepEqual(w.seqs(), [8], "an earlier message that comes after all must be delivered");
  s.push({ ...chat(8), id: 3 });
  assert.deepEqual(w.seqs(), [], "the same message must not be delivered twice");
});

/** Returns a client that assumes the start of its conversation with bob, because only the ACK of
 * its own message 12 has come, and that has sent a SYNC for 13. */
async function assuming() {
  const w = new World();
  const s = await w.login();
  for (const [seq, wait] of [[12, 2_100], [14, 75]]) {
    w.client.send("u2", "mine");
    s.stored(s.take(wire.ONE_CHAT), seq);
    await w.clock.pass(wait);
    if (seq === 12) assert.equal(s.take(wire.RECEIPT).seq, 12, "seq of the receipt after the assumption");
  }
  const sync = s.take(wire.SYNC);
  assert.equal(sync.after, 12);
  return { w, s, sync };
}

test("a push from before an assumed start, between a SYNC and its answer: later messages wait, and aren't receipted", async () => {
  const { w, s, sync } = await assuming();
  s.push(chat(8));
  s.answer(sync, { peer: 2, first: 1, last: 14, more: false, messages: [chat(13)] });
  assert.deepEqual([w.seqs(), w.client.saved.last], [[8], { u2: 8 }], "9 to 11 are missing");
  s.push(chat(9), chat(10), chat(11));
  assert.deepEqual([w.seqs(), w.client.saved.last], [[9, 10, 11, 13], { u2: 14 }]);
  s.push(chat(15));
  assert.deepEqual([w.seqs(), w.client.saved.last], [[15], { u2: 15 }]);
  await w.clock.pass(100);
  assert.deepEqual(s.sent.splice(0).filter((f) => f.msgid === wire.RECEIPT).map((f) => f.seq), [15]);
});

test("late pushes that end halfway leave a gap, which SYNC fills", async () => {
  const { w, s, sync } = await assuming();
  s.answer(sync, { peer: 2, first: 1, last: 14, more: false, messages: [chat(13)] });
  s.push(chat(8));
  assert.deepEqual([w.seqs(), w.client.saved.last], [[13, 8], { u2: 8 }]);
  s.drop();
  await w.clock.pass(100);
  await w.accept();
  await w.clock.pass(75);
  const again = w.socket.sent.splice(0).find((f) => f.msgid === wire.SYNC);
  assert.equal(again?.after, 8, "after of the SYNC");
  w.socket.push(chat(15));
  w.socket.answer(again, { peer: 2, first: 1, last: 15, more: false, messages: [9, 10, 11, 12, 13, 14, 15].map((seq) => chat(seq)) });
  assert.deepEqual([w.seqs(), w.client.saved.last], [[9, 10, 11, 15], { u2: 15 }]);
});

test("a refused SYNC is retried; after errno 6 the messages beyond the gap are delivered", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1), chat(3));
  await w.clock.pass(75);
  s.answer(s.take(wire.SYNC), { errno: 10 });
  await w.clock.pass(999);
  assert.equal(s.sent.filter((f) => f.msgid === wire.SYNC).length, 0);
  await w.clock.pass(1);
  s.answer(s.sent.pop(), { errno: 9, retry_after_ms: 2_000 });
  await w.clock.pass(3_000);
  const q = s.sent.filter((f) => f.msgid === wire.SYNC);
  assert.equal(q.length, 1);
  s.answer(q[0], { errno: 6 });
  assert.deepEqual(w.seqs(), [1, 3]);
});

test("a SYNC without progress is retried with delays, and its first ends the gap", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1), chat(9));
  await w.clock.pass(75);
  s.answer(s.take(wire.SYNC), { peer: 2, messages: [], first: 1, last: 9, more: false });
  for (const wait of [1_000, 2_000]) {
    await w.clock.pass(wait - 1);
    assert.equal(s.sent.filter((f) => f.msgid === wire.SYNC).length, 0, String(wait));
    await w.clock.pass(1);
    s.answer(s.sent.splice(0).find((f) => f.msgid === wire.SYNC), { peer: 2, messages: [], first: 1, last: 9, more: false });
  }
  await w.clock.pass(4_000);
  s.answer(s.sent.splice(0).find((f) => f.msgid === wire.SYNC), { peer: 2, messages: [chat(8), chat(9)], first: 8, last: 9, more: false });
  assert.deepEqual(w.seqs(), [1, 8, 9]);
});

test("a gap is requested again after reconnecting", async () => {
  const w = new World();
  await w.login();
  w.socket.push(chat(1), chat(3));
  await w.clock.pass(75);
  w.socket.take(wire.SYNC);
  w.socket.drop();
  await w.clock.pass(100);
  await w.accept();
  await w.clock.pass(100);
  const q = w.socket.sent.find((f) => f.msgid === wire.SYNC);
  w.socket.answer(q, { peer: 2, messages: [chat(2), chat(3)], first: 1, last: 3, more: false });
  assert.deepEqual(w.seqs(), [1, 2, 3]);
});

test("the answer to history doesn't fill a gap", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1), chat(3));
  await w.clock.pass(75);
  const gap = s.take(wire.SYNC);
  const page = w.client.history("u2", { after: 1, limit: 200 });
  s.answer(s.take(wire.SYNC), { peer: 2, messages: [chat(2)], first: 1, last: 3, more: true });
  assert.equal((await page).messages[0].text, "m2");
  assert.deepEqual(w.seqs(), [1]);
  s.answer(gap, { peer: 2, messages: [chat(2), chat(3)], first: 1, last: 3, more: false });
  assert.deepEqual(w.seqs(), [2, 3]);
});

test("receipts are sent once per 100 ms, for up to 16 conversations at a time", async () => {
  const w = new World();
  const s = await w.login();
  for (let seq = 1; seq <= 50; seq++) s.push(chat(seq));
  s.nothingSent();
  await w.clock.pass(100);
  const one = s.take(wire.RECEIPT);
  assert.deepEqual(one, { msgid: wire.RECEIPT, rid: one.rid, peer: 2, seq: 50 });
  s.nothingSent();
  for (let id = 10; id < 50; id++) s.push({ ...chat(1), id });
  for (const n of [16, 16, 8]) {
    await w.clock.pass(100);
    assert.equal(s.all(wire.RECEIPT).length, n);
  }
  await w.clock.pass(10_000);
  s.nothingSent();
});

test("a message counts as received once the listeners have returned", async () => {
  const w = new World();
  const s = await w.login();
  const last = [];
  w.client.on("message", () => last.push(w.client.saved.last.u2));
  s.push(chat(1), chat(2));
  assert.deepEqual(last, [undefined, 1]);
  assert.equal(w.client.saved.last.u2, 2);
});

test("a receipt is sent at once after 256 messages", async () => {
  const w = new World();
  const s = await w.login();
  for (let seq = 1; seq <= 300; seq++) s.push(chat(seq));
  const { seq } = s.take(wire.RECEIPT);
  assert.ok(seq >= 256 && seq < 260, `receipt for seq ${seq}, want 256 to 259`);
});

test("the login answer gives the starting seq of groups", async () => {
  const w = new World();
  const s = await w.login({ groups: [{ id: 5, groupname: "g", groupdesc: "", seq: 9, users: [] }] });
  await w.clock.pass(1_000);
  s.nothingSent(); // no receipt: the server knows the starting seq
  w.client.send("g5", "mine");
  s.stored(s.take(wire.GROUP_CHAT), 11);
  await w.clock.pass(75);
  const q = s.take(wire.SYNC);
  assert.equal(q.after, 9);
  s.drop();
  await w.clock.pass(100);
  await w.accept({ groups: [{ id: 5, groupname: "g", groupdesc: "", seq: 11, users: [] }] });
  await w.clock.pass(1_000);
  assert.deepEqual(w.socket.all(wire.SYNC).map((f) => f.after), [9], "after of the SYNC: the same gap must be requested, and nothing receipted");
});

test("the starting seq from the login answer is saved only after a later push", async () => {
  const w = new World();
  const s = await w.login({ groups: [{ id: 5, groupname: "g", groupdesc: "", seq: 9, users: [] }] });
  assert.deepEqual(w.client.saved.last, {}, "the position is only assumed");
  const push = (seq) => s.push({ ...chat(seq), msgid: wire.GROUP_CHAT, groupid: 5 });
  push(7); // the assumption was wrong
  assert.deepEqual([w.seqs(), w.client.saved.last], [[7], { g5: 7 }]);
  push(8);
  push(9);
  push(10);
  assert.deepEqual([w.seqs(), w.client.saved.last], [[8, 9, 10], { g5: 10 }]);
  await w.clock.pass(100);
  assert.equal(s.all(wire.RECEIPT).at(-1).seq, 10);
});

test("while the backlog arrives, an ACK in an unknown conversation isn't receipted", async () => {
  const w = new World();
  const s = await w.login({ more: true });
  w.client.send("u2", "mine");
  s.stored(s.take(wire.ONE_CHAT), 7);
  await w.clock.pass(1_900);
  s.push({ ...chat(1), id: 3 });
  await w.clock.pass(1_900);
  assert.deepEqual(s.all(wire.RECEIPT).map((f) => f.peer), [3]);
  s.push(chat(5), chat(6));
  assert.deepEqual(w.seqs(), [1, 5, 6]);
  await w.clock.pass(100);
  assert.deepEqual(s.all(wire.RECEIPT).map((f) => [f.peer, f.seq]), [[2, 7]]);
});

test("at most 512 messages are kept beyond a gap; SYNC brings the others", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1));
  for (let seq = 3; seq <= 700; seq++) s.push(chat(seq));
  await w.clock.pass(75);
  s.answer(s.take(wire.SYNC), { peer: 2, messages: [chat(2)], first: 1, last: 700, more: true });
  assert.equal(w.seqs().length, 2 + 512);
  await w.clock.pass(75);
  const q = s.sent.find((f) => f.msgid === wire.SYNC);
  assert.equal(q.after, 514);
  s.answer(q, { peer: 2, messages: Array.from({ length: 186 }, (_, i) => chat(515 + i)), first: 1, last: 700, more: false });
  assert.deepEqual(w.seqs(), Array.from({ length: 186 }, (_, i) => 515 + i));
});

test("a message that arrives again is receipted again", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1));
  await w.clock.pass(100);
  s.take(wire.RECEIPT);
  s.push(chat(1));
  await w.clock.pass(100);
  assert.equal(s.take(wire.RECEIPT).seq, 1);
});

test("a refused receipt is resent", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1));
  w.client.markRead("u2", 1);
  await w.clock.pass(100);
  const [got, read] = s.all(wire.RECEIPT);
  assert.deepEqual([got.seq, got.read, read.seq, read.read], [1, undefined, 1, true]);
  for (const q of [got, read]) s.push({ msgid: wire.ERROR, rid: q.rid, errno: 9, retry_after_ms: 1_000 });
  await w.clock.pass(1_000);
  s.nothingSent();
  await w.clock.pass(1_000);
  assert.equal(s.all(wire.RECEIPT).length, 2);
});

test("markRead stops at a gap and is resent after reconnecting", async () => {
  const w = new World();
  await w.login();
  w.socket.push(chat(1), chat(3));
  w.client.markRead("u2", 3);
  const reads = () => w.socket.sent.splice(0).filter((f) => f.msgid === wire.RECEIPT && f.read).map((f) => f.seq);
  await w.clock.pass(70);
  w.socket.push(chat(2));
  await w.clock.pass(100);
  assert.deepEqual(reads(), [3]);
  w.client.markRead("u2", 2);
  w.client.markRead("u2", 1_000_000);
  w.client.markRead("u2", NaN);
  await w.clock.pass(200);
  assert.deepEqual(reads(), []);
  w.socket.drop();
  await w.clock.pass(100);
  await w.accept();
  await w.clock.pass(100);
  assert.deepEqual(reads(), [3], "the read receipt may have been lost: it must be resent");
  assert.throws(() => w.client.markRead("nonsense", 1), { name: "badRequest" });
});

test("messages from history can be marked as read; the receipt waits for their pushes", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1));
  const page = w.client.history("u2", { after: 1, limit: 200 });
  s.answer(s.take(wire.SYNC), { peer: 2, messages: [chat(2), chat(3)], first: 1, last: 3, more: false });
  assert.equal((await page).messages.length, 2);
  w.client.markRead("u2", 3);
  const reads = () => s.sent.splice(0).filter((f) => f.msgid === wire.RECEIPT && f.read).map((f) => f.seq);
  await w.clock.pass(100);
  assert.ok(reads().every((seq) => seq === 1));
  s.push(chat(2), chat(3));
  await w.clock.pass(100);
  assert.equal(reads().at(-1), 3);
});

test("read receipts of conversations without pushes wait for the end of the backlog", async () => {
  for (const more of [false, true]) {
    const w = new World();
    const s = await w.login({ more });
    w.client.markRead("u2", 40);
    await w.clock.pass(more ? 1_999 : 100);
    if (more) {
      s.nothingSent();
      s.push({ ...chat(1), id: 3 });
      await w.clock.pass(1_999);
      assert.deepEqual(s.all(wire.RECEIPT).map((f) => f.peer), [3]);
      await w.clock.pass(101);
    }
    assert.deepEqual(s.all(wire.RECEIPT).map((f) => [f.peer, f.seq, f.read]), [[2, 40, true]]);
  }
});

test("no receipts are sent for a group that was left while offline", async () => {
  const w = new World();
  await w.login({ groups: [{ id: 5, groupname: "g", groupdesc: "", seq: 4, users: [] }] });
  w.socket.push({ ...chat(5), msgid: wire.GROUP_CHAT, groupid: 5 });
  assert.deepEqual(w.seqs(), [5]);
  w.socket.drop();
  await w.clock.pass(100);
  await w.accept();
  await w.clock.pass(1_000);
  w.socket.nothingSent();
  assert.deepEqual(w.client.saved.last, {});
});

test("listeners may throw, call methods, and be removed", async () => {
  const w = new World();
  const seen = [];
  w.client.on("message", () => { throw new Error("a listener's fault"); });
  const off = w.client.on("message", (m) => {
    seen.push(`message ${m.seq}`);
    w.client.send("u2", "re"); // a listener may call methods
  });
  w.client.on("sent", (m) => seen.push(`sent ${m.seq}`));
  const s = await w.login();
  s.push(chat(1));
  s.stored(s.take(wire.ONE_CHAT), 2);
  off();
  s.push(chat(3));
  assert.deepEqual(seen, ["message 1", "sent 2"]);
  assert.deepEqual(w.seqs(), [1, 3]);
  assert.equal(w.logged.filter(([level, , detail]) => level === "error" && detail.message === "a listener's fault").length, 2);
  assert.equal(w.client.state.name, "online");
});

test("listeners are called in the order of events, whatever they do", async () => {
  const w = new World({ window: 1 });
  const seen = [];
  w.client.on("message", (m) => {
    seen.push(`first ${m.seq}`);
    w.client.cancel("u2", "B");
    w.client.on("message", () => seen.push("new"));
  });
  w.client.on("message", (m) => seen.push(`second ${m.seq}`));
  w.client.on("failed", (m) => seen.push(`failed ${m.cid}`));
  w.client.restore([{ user: 1, conversation: "u2", text: "a", cid: "A", retry: false }, { user: 1, conversation: "u2", text: "b", cid: "B", retry: false }]);
  await w.login({ offlinemsg: [chat(1), chat(2)] });
  assert.deepEqual(seen, ["first 1", "second 1", "first 2", "second 2", "new", "failed B"]);
});

test("invalid frames from the server neither throw nor end the client", async () => {
  const w = new World();
  const s = await w.login();
  const hostile = ["", "null", "[]", "7", "{", "{}", '{"msgid":"6"}', '{"msgid":6}', '{"msgid":6,"id":2,"toid":1,"seq":-1}', '{"msgid":6,"id":2,"toid":1,"seq":1e300}',
    '{"msgid":10,"groupid":"x"}', '{"msgid":12,"rid":{}}', '{"msgid":22,"rid":1}', '{"msgid":24}', '{"msgid":25}', '{"msgid":20,"read":true}', '{"msgid":7}', '{"msgid":9}',
    '{"msgid":17}', '{"msgid":17,"rid":null,"errno":9}', '{"msgid":999}', '{"msgid":26}', '{"msgid":28}', '{"msgid":32}', '{"msgid":34}', new ArrayBuffer(4), undefined,
    '{"__proto__":{"msgid":6},"constructor":1}', "[".repeat(100_000)];
  for (const data of hostile) s.raw(data);
  for (const name of eventNames) w.events(name);
  await w.clock.pass(1_000);
  s.sent.length = 0;
  assert.equal(w.client.state.name, "online");
  s.push(chat(1));
  assert.deepEqual(w.seqs(), [1]);
  assert.ok(w.client.stats.unreadable > 10);
  // An invalid answer rejects the request or is ignored.
  const page = later(w.client.history("u2"));
  s.push({ msgid: 22, rid: s.take(wire.SYNC).rid, errno: 0 });
  assert.equal((await outcome(page))[0], "error");
  const login = new World();
  const done = later(login.client.login("a", "b"));
  login.socket.open();
  login.socket.raw(JSON.stringify({ msgid: 2, rid: 1, errno: 0 }));
  await outcome(done);
  await login.clock.pass(60_000);
});

test("pushes update friends and groups", async () => {
  const w = new World();
  const s = await w.login({
    friends: [{ id: 3, name: "carol", state: "offline" }, { id: 2, name: "bob", state: "online" }],
    groups: [{ id: 5, groupname: "five", groupdesc: "of five", seq: 0, users: [{ id: 1, name: "alice", state: "online", role: "creator" }] },
      { id: 6, groupname: "six", groupdesc: "", seq: 9, count: 900 }],
  });
  const { client } = w;
  assert.deepEqual(client.friends.map((f) => f.name), ["bob", "carol"]);
  assert.deepEqual(client.groups[0], { id: 5, name: "five", description: "of five", users: [{ id: 1, name: "alice", state: "online", role: "creator" }], count: 1 });
  assert.deepEqual(client.groups[1], { id: 6, name: "six", description: "", users: null, count: 900 });
  client.friends[0].name = "changed";
  client.groups[0].users.pop();
  assert.equal(client.friends[0].name, "bob");
  assert.equal(client.groups[0].users.length, 1);
  assert.deepEqual(w.events("change"), [{ kind: "lists" }]);

  s.push({ msgid: wire.PRESENCE, id: 3, state: "online" }, { msgid: wire.ADD_FRIEND, id: 4, name: "dave" }, { msgid: wire.DEL_FRIEND, id: 2 },
    { msgid: wire.ADD_GROUP, groupid: 5, id: 3, name: "carol" }, { msgid: wire.ADD_GROUP, groupid: 5, id: 3, name: "carol" }, { msgid: wire.ADD_GROUP, groupid: 6, id: 3, name: "carol" }, { msgid: wire.LEAVE_GROUP, groupid: 6, id: 3 },
    { msgid: wire.BLOCK, userid: 9, on: true }, { msgid: wire.BLOCK, userid: 9, on: false });
  assert.deepEqual(client.friends, [{ id: 3, name: "carol", state: "online" }, { id: 4, name: "dave", state: "offline" }]);
  assert.deepEqual(client.groups.map((g) => g.count), [2, 900]);
  assert.deepEqual(w.events("presence"), [{ user: 3, state: "online" }]);
  assert.deepEqual(w.events("change"), [{ kind: "friendAdded", user: 4, name: "dave" }, { kind: "friendRemoved", user: 2 },
    { kind: "memberJoined", group: 5, user: 3, name: "carol" }, { kind: "memberJoined", group: 5, user: 3, name: "carol" }, { kind: "memberJoined", group: 6, user: 3, name: "carol" }, { kind: "memberLeft", group: 6, user: 3 },
    { kind: "blocked", user: 9 }, { kind: "unblocked", user: 9 }]);

  s.push({ msgid: wire.LEAVE_GROUP, groupid: 5, id: 1 }, { msgid: wire.DISMISS_GROUP, groupid: 6 });
  assert.deepEqual(client.groups, []);
  assert.deepEqual(w.events("change"), [{ kind: "groupRemoved", group: 5 }, { kind: "groupRemoved", group: 6 }]);
});

test("own requests update friends and groups", async () => {
  const w = new World();
  const s = await w.login();
  const { client } = w;
  const does = async (promise, op, fields) => {
    const q = s.take(op);
    s.answer(q, fields);
    return [await promise, q];
  };
  let [result] = await does(client.addFriend(2), wire.ADD_FRIEND, { friendid: 2, name: "bob", state: "online" });
  assert.deepEqual(result, { id: 2, name: "bob", state: "online" });
  assert.deepEqual(client.friends, [result]);
  await does(client.delFriend(2), wire.DEL_FRIEND, {});
  assert.deepEqual(client.friends, []);
  [result] = await does(client.createGroup("mine", "of mine"), wire.CREATE_GROUP, { groupid: 5 });
  assert.equal(result, 5);
  assert.deepEqual(client.groups, [{ id: 5, name: "mine", description: "of mine", users: [{ id: 1, name: "alice", state: "online", role: "creator" }], count: 1 }]);
  [result] = await does(client.joinGroup(6), wire.ADD_GROUP, { groupid: 6, groupname: "six", groupdesc: "d", seq: 40, count: 500 });
  assert.deepEqual(result, { id: 6, name: "six", description: "d", users: null, count: 500 });
  s.push({ ...chat(41), msgid: wire.GROUP_CHAT, groupid: 6 });
  assert.deepEqual(w.seqs(), [41]);
  s.push({ msgid: wire.ADD_GROUP, groupid: 5, id: 7, name: "eve" });
  await does(client.kickMember(5, 7), wire.KICK_MEMBER, {});
  assert.equal(client.groups[0].count, 1);
  await does(client.leaveGroup(6), wire.LEAVE_GROUP, {});
  const [, q] = await does(client.dismissGroup(5), wire.DISMISS_GROUP, {});
  assert.equal(q.groupid, 5);
  assert.deepEqual(client.groups, []);
  const [, b] = await does(client.block(9, true), wire.BLOCK, { on: true });
  assert.deepEqual([b.userid, b.on], [9, true]);
  await does(client.changePassword("secret", "better"), wire.PASSWORD, { token: "T2" });
  assert.equal(client.token, "T2");
  s.drop();
  await w.clock.pass(100);
  w.socket.open();
  assert.equal(w.socket.take(wire.LOGIN).token, "T2");
  assert.deepEqual(w.events("change").map((c) => c.kind), ["lists", "friendAdded", "friendRemoved", "groupAdded", "groupAdded", "memberJoined", "memberLeft",
    "groupRemoved", "groupRemoved", "blocked"]);
});

test("a group joined by another device of the user is looked up", async () => {
  const w = new World();
  const s = await w.login();
  w.events("change");
  s.push({ msgid: wire.ADD_GROUP, groupid: 5, id: 1, name: "alice" });
  assert.deepEqual(w.events("change"), []);
  s.push({ msgid: wire.ADD_GROUP, groupid: 5, id: 2, name: "bob" });
  w.events("change");
  s.answer(s.take(wire.CONVERSATIONS), { conversations: [{ groupid: 5, name: "five", first: 1, last: 0, read: 0, time: 1 }], more: false });
  s.answer(s.take(wire.GROUP_USERS), { groupid: 5, users: [{ id: 1, name: "alice", state: "online", role: "normal" }], more: false });
  await settle();
  assert.deepEqual(w.events("change"), [{ kind: "groupAdded", group: 5 }]);
  assert.equal(w.client.groups[0].name, "five");
  assert.deepEqual(w.client.groups[0].users.map((u) => u.id), [1, 2], "bob joined during the lookup and must be included");
  assert.equal(w.client.groups[0].count, 2);
  // If the lookup fails, the group is reported all the same.
  s.push({ msgid: wire.ADD_GROUP, groupid: 6, id: 1, name: "alice" });
  s.answer(s.take(wire.CONVERSATIONS), { errno: 10 });
  await settle();
  assert.deepEqual(w.events("change"), [{ kind: "groupAdded", group: 6 }]);
  assert.deepEqual(w.client.groups[1].name, "");
});

test("events and read receipts get the right conversation", async () => {
  const w = new World();
  const s = await w.login();
  s.push({ msgid: wire.EVENT, id: 2, name: "bob", toid: 1, event: "typing" }, { msgid: wire.EVENT, id: 2, name: "bob", groupid: 5, event: "ring", data: "x" },
    { msgid: wire.EVENT, id: 1, name: "alice", toid: 2, event: "typing" }, { msgid: wire.RECEIPT, peer: 2, id: 2, seq: 4, read: true },
    { msgid: wire.RECEIPT, groupid: 5, id: 1, seq: 6, read: true }, { msgid: wire.RECEIPT, peer: 2, id: 2, seq: 5, read: false });
  assert.deepEqual(w.events("event"), [{ conversation: "u2", from: 2, name: "bob", kind: "typing", data: "" }, { conversation: "g5", from: 2, name: "bob", kind: "ring", data: "x" },
    { conversation: "u2", from: 1, name: "alice", kind: "typing", data: "" }]);
  assert.deepEqual(w.events("read"), [{ conversation: "u2", user: 2, seq: 4 }, { conversation: "g5", user: 1, seq: 6 }]);
  assert.equal(w.client.typing("u2"), true);
  assert.equal(w.client.tell("g5", "ring", "loud"), true);
  assert.deepEqual(s.all(wire.EVENT), [{ msgid: wire.EVENT, toid: 2, event: "typing" }, { msgid: wire.EVENT, groupid: 5, event: "ring", data: "loud" }]);
  for (const [kind, data] of [["", ""], ["x".repeat(33), ""], ["x", "y".repeat(1025)], ["\ud800", ""]]) assert.throws(() => w.client.tell("u2", kind, data), { name: "badRequest" });
  s.drop();
  assert.equal(w.client.typing("u2"), false);
});

test("requests send their parameters, and reject without a connection", async () => {
  const w = new World();
  await fails(w.client.history("u2"), "notLoggedIn");
  const s = await w.login();
  const asks = async (promise, op, fields, want, result) => {
    const q = s.take(op);
    delete q.rid;
    assert.deepEqual(q, { msgid: op, ...want });
    s.push({ msgid: op + 1, rid: w.rid = (w.rid ?? 1) + 1, errno: 0, ...fields });
    assert.deepEqual(await promise, result);
  };
  await asks(w.client.history("g5", { before: 9, limit: 3 }), wire.SYNC, { groupid: 5, messages: [{ ...chat(8), msgid: wire.GROUP_CHAT, groupid: 5 }], first: 2, last: 20, more: true },
    { groupid: 5, limit: 3, before: 9 }, { messages: [{ conversation: "g5", seq: 8, from: 2, name: "bob", text: "m8", cid: "c8", time: 8000 }], first: 2, last: 20, more: true });
  await asks(w.client.conversations({ before: 7 }), wire.CONVERSATIONS, { conversations: [{ peer: 2, name: "bob", first: 1, last: 4, read: 3, time: 6, message: chat(4) }], more: false },
    { limit: 50, before: 7 }, { conversations: [{ conversation: "u2", name: "bob", first: 1, last: 4, read: 3, time: 6,
      message: { conversation: "u2", seq: 4, from: 2, name: "bob", text: "m4", cid: "c4", time: 4000 } }], more: false });
  // A deleted account.
  await asks(w.client.conversations(), wire.CONVERSATIONS, { conversations: [{ peer: 2, name: "bob", gone: true, first: 1, last: 4, read: 3, time: 6, message: { ...chat(4), gone: true } }], more: false },
    { limit: 50 }, { conversations: [{ conversation: "u2", name: "bob", first: 1, last: 4, read: 3, time: 6, gone: true,
      message: { conversation: "u2", seq: 4, from: 2, name: "bob", text: "m4", cid: "c4", time: 4000, gone: true } }], more: false });
  await asks(w.client.findUser("42"), wire.FIND_USER, { id: 42, name: "x" }, { userid: 42 }, { id: 42, name: "x" });
  await asks(w.client.groupUsers(5, { after: 3 }), wire.GROUP_USERS, { groupid: 5, users: [{ id: 4, name: "x", state: "offline", role: "normal" }], more: true },
    { groupid: 5, after: 3 }, { users: [{ id: 4, name: "x", state: "offline", role: "normal" }], more: true });
  const lost = later(w.client.findUser("x"));
  s.drop();
  await fails(lost, "notConnected");
  await fails(w.client.findUser("x"), "notConnected");
  await fails(w.client.history("nonsense"), "badRequest");
});

test("at most 1024 requests may be unanswered", async () => {
  const w = new World();
  await w.login();
  for (let i = 0; i < 1024; i++) later(w.client.findUser("x"));
  await fails(w.client.findUser("x"), "busy");
});

test("cids sort by time and are unique", () => {
  const cids = [0, 1, 255, 256, 1e12, 1e12 + 1, 2 ** 48 - 1].map((now) => newCid(now));
  assert.deepEqual([...cids].sort((a, b) => (Buffer.compare(Buffer.from(a), Buffer.from(b)))), cids);
  const many = new Set(Array.from({ length: 10_000 }, () => newCid(7)));
  assert.equal(many.size, 10_000);
  for (const cid of many) assert.match(cid, /^[-\w]{22}$/);
});

test("parse accepts only valid conversations", () => {
  assert.deepEqual(parse("u7"), { peer: 7, group: 0 });
  assert.deepEqual(parse("g9007199254740991"), { peer: 0, group: 9007199254740991 });
  for (const bad of ["", "u", "7", "u07", "u-1", "u1.5", "x1", "u1 ", "g9007199254740992", null, {}, ["u1"]]) assert.throws(() => parse(bad), { name: "badRequest" });
});

test("features are those of the last login", async () => {
  const w = new World();
  assert.deepEqual(w.client.features, []);
  const s = await w.login({ features: ["register", "new"] });
  assert.deepEqual(w.client.features, ["register", "new"]);
  w.client.features.push("x");
  assert.deepEqual(w.client.features, ["register", "new"], "the caller has changed only its copy");
  s.drop();
  await w.clock.pass(100);
  await w.accept();
  assert.deepEqual(w.client.features, []);
});
