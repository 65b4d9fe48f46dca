// Staying connected: logins, reconnects, signs of life, ends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../chatd.js";
import { World, chat, fails, later, outcome, settle, wire } from "./fake.js";

const names = (states) => states.map((s) => s.name);

test("a login by name says who, on which device, and that receipts follow", async () => {
  const w = new World();
  const done = w.client.login("alice", "secret");
  assert.deepEqual(await w.accept(), { msgid: wire.LOGIN, rid: 1, name: "alice", password: "secret", device: "d", ack: true });
  await done;
  assert.deepEqual(names(w.told("state")), ["connecting", "online"]);
  assert.deepEqual(w.told("token"), [{ token: "T", user: 1, name: "alice", device: "d" }]);
  assert.deepEqual(w.client.me, { id: 1, name: "alice", device: "d" });
  assert.equal(w.client.token, "T");
  await fails(w.client.login("alice", "secret"), "loggedIn");
  assert.equal(w.client.state.name, "online", "that a second login is refused leaves the first");
});

test("digits are an id, a token names its device, brief is passed on", async () => {
  const w = new World({ brief: true });
  w.client.login("42", "secret").catch(() => {});
  w.socket.open();
  assert.deepEqual(w.socket.take(wire.LOGIN), { msgid: wire.LOGIN, rid: 1, id: 42, password: "secret", device: "d", ack: true, brief: true });
  w.client.loginToken("tok").catch(() => {});
  w.socket.open();
  assert.deepEqual(w.socket.take(wire.LOGIN), { msgid: wire.LOGIN, rid: 2, token: "tok", ack: true, brief: true });
});

test("waits before reconnecting are random below a bound that doubles, up to the most", async () => {
  const w = new World({ backoffMin: 200, backoffMax: 5_000 });
  await w.login();
  w.told("state");
  w.socket.drop();
  const bounds = [200, 400, 800, 1600, 3200, 5000, 5000];
  for (const [i, bound] of bounds.entries()) {
    const [offline] = w.told("state");
    assert.equal(offline.name, "offline");
    assert.equal(offline.retryIn, bound / 2, "the dice say one half");
    assert.equal(offline.retryAt, w.clock.now() + bound / 2);
    assert.equal(offline.attempt, i);
    assert.equal(offline.error.name, "notConnected");
    const before = w.sockets.length;
    await w.clock.pass(bound / 2 - 1);
    assert.equal(w.sockets.length, before, "too early");
    w.dice = 0.5;
    await w.clock.pass(1);
    assert.equal(w.sockets.length, before + 1);
    assert.deepEqual(w.told("state"), [{ name: "connecting", attempt: i + 1 }]);
    w.socket.drop();
  }
  w.dice = 0; // full jitter: it may be at once
  await w.clock.pass(2_500);
  w.socket.drop();
  assert.equal(w.told("state").at(-1).retryIn, 0);
});

test("only a connection that held lets the waits begin anew", async () => {
  const w = new World({ backoffMin: 200, backoffMax: 5_000 });
  await w.login();
  w.socket.drop();
  await w.clock.pass(100);
  await w.accept();
  await w.clock.pass(4_000);
  w.socket.drop();
  assert.equal(w.told("state").at(-1).attempt, 1, "it was flapping");
  await w.clock.pass(200);
  await w.accept();
  await w.clock.pass(6_000);
  w.socket.drop();
  assert.equal(w.told("state").at(-1).attempt, 0);
  assert.equal(w.client.stats.reconnects, 2);
});

test("a wait that the server asks for is kept, with a little more, also by retryNow", async () => {
  const w = new World();
  await w.login();
  w.socket.push({ msgid: wire.KICK, reason: "draining", errmsg: "the server stops", retry_after_ms: 4_000 });
  const [offline] = w.told("state").slice(-1);
  assert.equal(offline.retryIn, 4_000 + 500 + 100);
  assert.equal(offline.error.name, "kicked");
  assert.equal(w.sockets.length, 1);
  await w.clock.pass(3_999);
  w.client.retryNow();
  assert.equal(w.sockets.length, 1, "too early, says the server");
  await w.clock.pass(1);
  w.client.retryNow();
  assert.equal(w.sockets.length, 2);
  await w.accept();
  await w.clock.pass(60_000);
  assert.equal(w.sockets.length, 2, "the timer that retryNow has overtaken does nothing");
});

test("the browser's online, a page that is shown again and retryNow try at once", async () => {
  for (const wake of [(w) => w.client.retryNow(), (w) => w.host.dispatchEvent(new Event("online")), (w) => w.host.dispatchEvent(new Event("pageshow")),
    (w) => w.host.document.dispatchEvent(new Event("visibilitychange"))]) {
    const w = new World();
    await w.login();
    w.socket.drop();
    wake(w);
    assert.equal(w.sockets.length, 2);
    await w.accept();
    assert.equal(w.client.state.name, "online");
  }
});

test("after that the waits are short again: the network may not be quite there yet", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  for (let i = 0; i < 10; i++) {
    await w.clock.pass(15_000);
    w.socket.drop();
  }
  assert.equal(w.told("state").at(-1).retryIn, 15_000);
  w.host.dispatchEvent(new Event("online"));
  w.socket.drop();
  assert.equal(w.told("state").at(-1).retryIn, 100);
});

test("a hidden page is no reason to look", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  w.host.document.visibilityState = "hidden";
  w.host.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(w.sockets.length, 1);
});

test("an attempt that began without a network is given up when there is one", async () => {
  const w = new World();
  const done = w.client.resume("T");
  w.client.retryNow();
  assert.equal(w.sockets.length, 1, "it has only just begun");
  await w.clock.pass(2_000);
  w.client.retryNow();
  assert.equal(w.sockets.length, 2);
  assert.equal(w.sockets[0].readyState, 3, "the first is closed");
  w.sockets[0].onopen?.(); // and is heard of no more
  assert.deepEqual(names(w.told("state")), ["connecting", "connecting"]);
  await w.accept();
  await done;
});

test("resume goes on trying until it is in, and messages wait for that", async () => {
  const w = new World();
  const done = w.client.resume("T");
  const sent = w.client.send("u2", "early");
  w.socket.drop();
  await w.clock.pass(100);
  w.socket.drop();
  assert.equal(await outcome(done), undefined);
  await w.clock.pass(200);
  await w.accept();
  assert.deepEqual(await outcome(done), ["ok", undefined]);
  w.socket.stored(w.socket.take(wire.ONE_CHAT), 1);
  assert.deepEqual(await sent, { seq: 1, time: 1000 });
});

test("a login by password is one try", async () => {
  const w = new World();
  const done = w.client.login("alice", "secret");
  w.socket.drop();
  await fails(done, "notConnected");
  const [state] = w.told("state").slice(-1);
  assert.deepEqual([state.name, state.reason, state.error.name], ["ended", "failed", "notConnected"]);
  await w.clock.pass(600_000);
  assert.equal(w.sockets.length, 1);
  assert.equal(w.clock.timers, 0, "nothing is left behind");
});

test("wrong passwords and tokens end it, each in its way", async () => {
  const w = new World();
  const refuse = (errno, more) => {
    w.socket.open();
    w.socket.answer(w.socket.take(wire.LOGIN), { errno, errmsg: "no", ...more });
  };
  let done = w.client.login("alice", "wrong");
  refuse(1);
  assert.equal((await fails(done, "refused")).errno, 1);
  assert.equal(w.told("state").at(-1).reason, "password");

  done = w.client.loginToken("old");
  refuse(1);
  await fails(done, "refused");
  assert.equal(w.told("state").at(-1).reason, "token");

  done = w.client.loginToken("T");
  refuse(9, { retry_after_ms: 3_000 });
  assert.equal((await fails(done, "tooFast")).retryAfter, 3_000);
  assert.equal(w.told("state").at(-1).reason, "failed");

  // After a lost connection only a refused token is the end.
  await w.login();
  assert.equal(w.told("token").at(-1).token, "T");
  w.socket.drop();
  await w.clock.pass(100);
  refuse(9, { retry_after_ms: 8_000 });
  assert.equal(w.told("state").at(-1).retryIn, 8_000 + 1_000 + 200);
  await w.clock.pass(9_200);
  refuse(10);
  await w.clock.pass(400);
  refuse(1);
  const [state] = w.told("state").slice(-1);
  assert.deepEqual([state.name, state.reason], ["ended", "token"]);
  assert.equal(w.told("token").at(-1).token, "", "whoever keeps it has to forget it");
  assert.equal(w.client.token, "");
});

test("KICK: a client comes back, but not after replaced, logout and abuse", async () => {
  for (const [reason, ends] of [["replaced", true], ["logout", true], ["abuse", true], ["draining", false], ["slow", false], ["idle", false]]) {
    const w = new World();
    await w.login();
    const waits = w.client.send("u2", "kept");
    w.socket.push({ msgid: wire.KICK, reason, errmsg: "for a reason" });
    const [state] = w.told("state").slice(-1);
    assert.equal(state.name, ends ? "ended" : "offline", reason);
    assert.equal(state.error.text, "for a reason");
    if (ends) assert.equal(state.reason, reason);
    await w.clock.pass(60_000);
    assert.equal(w.sockets.length > 1, !ends, reason);
    assert.equal(w.client.token, reason === "logout" ? "" : "T");
    assert.equal(await outcome(waits), undefined, "a message is kept for when its user is back");
    assert.equal(w.client.pending.length, 1);
    if (!ends) continue;
    await fails(w.client.send("u2", "x"), "notLoggedIn");
    const back = w.client.login("alice", "secret");
    await w.accept();
    await back;
    const again = w.socket.take(wire.ONE_CHAT);
    assert.ok(again.retry);
    w.socket.stored(again, 4);
    assert.equal((await waits).seq, 4);
  }
});

test("a KICK as the answer to a login is heard as well", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  await w.clock.pass(100);
  w.socket.open();
  w.socket.push({ msgid: wire.KICK, reason: "replaced", errmsg: "elsewhere" });
  assert.equal(w.told("state").at(-1).reason, "replaced");
});

test("a server that has no room says so before it closes", async () => {
  const w = new World();
  let done = w.client.login("alice", "secret");
  w.socket.open();
  w.socket.push({ msgid: wire.ERROR, errno: 9, errmsg: "too many connections", retry_after_ms: 2_000 });
  w.socket.drop();
  assert.equal((await fails(done, "tooFast")).text, "too many connections");
  await w.login();
  w.socket.drop();
  await w.clock.pass(100);
  w.socket.open();
  w.socket.push({ msgid: wire.ERROR, errno: 9, errmsg: "too many connections", retry_after_ms: 2_000 });
  w.socket.drop();
  assert.equal(w.told("state").at(-1).retryIn, 2_000 + 250 + 200);
});

test("what doesn't answer is given up: a connection that is made, and a login", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  await w.clock.pass(100);
  const dialled = w.socket;
  await w.clock.pass(9_999);
  assert.equal(w.client.state.name, "connecting");
  await w.clock.pass(1);
  assert.equal(w.client.state.name, "offline");
  assert.equal(dialled.readyState, 3);
  await w.clock.pass(200);
  w.socket.open();
  await w.clock.pass(30_000);
  assert.equal(w.client.state.name, "offline");
  assert.equal(w.client.state.error.name, "timeout");
});

test("several URLs are tried in turn, without a wait until all have failed", async () => {
  const w = new World({ url: ["ws://a/ws", "ws://b/ws"] });
  const done = w.client.login("alice", "secret");
  w.socket.drop();
  assert.deepEqual(w.sockets.map((s) => s.url), ["ws://a/ws", "ws://b/ws"]);
  await w.accept();
  await done;
  w.socket.drop();
  await w.clock.pass(100);
  assert.equal(w.socket.url, "ws://a/ws");
  w.socket.drop();
  assert.equal(w.socket.url, "ws://b/ws");
  w.socket.drop();
  assert.equal(w.client.state.name, "offline");
});

test("PING every 30 s; a connection that stays silent after one is dead", async () => {
  const w = new World();
  const s = await w.login();
  await w.clock.pass(29_999);
  assert.equal(s.pings, 0);
  await w.clock.pass(1);
  assert.equal(s.pings, 1);
  await w.clock.pass(3_600_000);
  assert.equal(s.pings, 121, "an hour, and nothing is wrong");
  assert.equal(w.client.state.name, "online");
  s.deaf = true;
  await w.clock.pass(30_000);
  s.push(chat(1)); // something came
  await w.clock.pass(15_000);
  assert.equal(w.client.state.name, "online");
  await w.clock.pass(15_000 + 14_999);
  assert.equal(w.client.state.name, "online");
  await w.clock.pass(1);
  assert.equal(w.client.state.name, "offline");
  assert.equal(s.readyState, 3);
});

test("a PING of the server is answered", async () => {
  const w = new World();
  const s = await w.login();
  s.push({ msgid: wire.PING });
  assert.deepEqual(s.take(wire.PONG), { msgid: wire.PONG });
});

test("after a night's sleep a connection that lives is kept, a dead one found", async () => {
  for (const alive of [true, false]) {
    const w = new World();
    const s = await w.login();
    s.deaf = true;
    await w.clock.pass(30_000); // a PING is out, and the lid closes
    assert.equal(s.pings, 1);
    if (alive) s.deaf = false;
    await w.clock.sleep(8 * 3_600_000);
    assert.ok(s.pings >= 2, "that the answer is late says nothing: it asks again");
    await w.clock.pass(15_000);
    assert.equal(w.client.state.name, alive ? "online" : "offline");
  }
});

test("where the browser holds up every timer a dead connection is found all the same", async () => {
  const w = new World();
  const s = await w.login();
  s.deaf = true;
  for (let minute = 0; minute < 4; minute++) await w.clock.sleep(60_000);
  assert.ok(!w.sockets[0].onmessage && s.readyState === 3, "it is closed");
});

test("what takes long to be sent is no sign of death", async () => {
  const w = new World();
  const s = await w.login();
  s.deaf = true;
  s.bufferedAmount = 500_000;
  await w.clock.pass(30_000);
  for (let i = 0; i < 4; i++) {
    s.bufferedAmount -= 100_000;
    await w.clock.pass(15_000);
    assert.equal(w.client.state.name, "online");
  }
  await w.clock.pass(15_000);
  assert.equal(w.client.state.name, "offline", "now it stands still");
});

test("a changed network has the connection looked at", async () => {
  for (const name of ["online", "offline"]) {
    const w = new World();
    const s = await w.login();
    await w.clock.pass(31_000);
    assert.equal(s.pings, 1);
    w.host.dispatchEvent(new Event(name));
    await settle();
    assert.equal(s.pings, 2, "that one was answered a second ago says nothing");
    await w.clock.pass(5_000);
    assert.equal(w.client.state.name, "online");
    s.deaf = true;
    w.host.dispatchEvent(new Event(name));
    w.host.dispatchEvent(new Event(name));
    assert.equal(s.pings, 3, "one question at a time");
    await w.clock.pass(5_000);
    assert.equal(w.client.state.name, "offline");
  }
});

test("logout tells the server, forgets the token and fails what waits", async () => {
  const w = new World();
  const s = await w.login();
  const waits = w.client.send("u2", "x");
  s.take(wire.ONE_CHAT);
  const done = w.client.logout();
  s.answer(s.take(wire.LOGOUT));
  await done;
  await fails(waits, "loggedOut");
  assert.equal(w.told("failed")[0].maybeStored, true);
  assert.equal(w.client.token, "");
  assert.equal(w.client.saved, null);
  assert.equal(s.readyState, 3);
  const [state] = w.told("state").slice(-1);
  assert.deepEqual(state, { name: "ended", reason: "loggedOut", error: null });
  await w.clock.pass(600_000);
  assert.equal(w.sockets.length, 1);
  await w.client.logout(); // once more is nothing
});

test("logout without a connection says that the server doesn't know", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  await fails(w.client.logout(), "notConnected");
  assert.equal(w.client.state.reason, "loggedOut");
  // And one that is cut off in the middle.
  await w.login();
  const done = w.client.logout();
  w.socket.drop();
  await fails(done, "notConnected");
  assert.equal(w.client.state.reason, "loggedOut");
  await w.clock.pass(60_000);
  assert.equal(w.client.state.reason, "loggedOut", "it doesn't come back");
});

test("logout doesn't wait for a dead connection", async () => {
  const w = new World();
  const s = await w.login();
  s.deaf = true;
  const done = later(w.client.logout());
  await w.clock.pass(5_000);
  await fails(done, "notConnected");
});

test("what was received as somebody else is forgotten", async () => {
  const w = new World();
  await w.login();
  w.socket.push(chat(1), chat(2));
  w.socket.push({ msgid: wire.KICK, reason: "replaced" });
  w.told("message");
  await w.login({ id: 9, name: "eve", offlinemsg: [{ ...chat(1), toid: 9 }] });
  assert.deepEqual(w.seqs(), [1]);
  w.socket.push({ msgid: wire.KICK, reason: "replaced" });
  await w.login({ offlinemsg: [chat(1)] });
  assert.deepEqual(w.seqs(), [1]);
});

test("register asks on a connection of its own, and leaves the login alone", async () => {
  const w = new World();
  const s = await w.login();
  const done = w.client.register("bob", "secret");
  assert.equal(w.sockets.length, 2);
  w.socket.open();
  w.socket.answer(w.socket.take(wire.REG), { id: 9 });
  assert.equal(await done, 9);
  assert.equal(w.socket.readyState, 3);
  const taken = w.client.register("bob", "secret");
  w.socket.open();
  w.socket.answer(w.socket.take(wire.REG), { errno: 1, errmsg: "the name is taken" });
  assert.equal((await fails(taken, "refused")).text, "the name is taken");
  const lost = w.client.register("bob", "secret");
  w.socket.drop();
  await fails(lost, "notConnected");
  const silent = later(w.client.register("bob", "secret"));
  w.socket.open();
  w.socket.deaf = true;
  await w.clock.pass(30_000);
  await fails(silent, "timeout");
  assert.equal(w.client.state.name, "online");
  assert.equal(s.readyState, 1);
});

test("a login that begins takes the place of one under way", async () => {
  const w = new World();
  const first = later(w.client.resume("old"));
  const second = w.client.login("alice", "secret");
  await fails(first, "aborted");
  assert.equal(w.sockets[0].readyState, 3);
  await w.accept();
  await second;
});

test("an error of a WebSocket is its end, with or without a close", async () => {
  const w = new World();
  const done = later(w.client.login("alice", "secret"));
  w.socket.onerror({});
  await fails(done, "notConnected");
  await w.login();
  w.socket.onerror({});
  assert.equal(w.client.state.name, "offline");
});

test("close ends everything, tells it once, and leaves what the next life needs", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1));
  const waits = w.client.send("u2", "unsaid", { cid: "C" });
  s.take(wire.ONE_CHAT);
  const asked = later(w.client.findUser("bob"));
  s.take(wire.FIND_USER);
  const flushed = later(w.client.flush());
  w.told("message");
  w.client.close();
  assert.deepEqual(s.take(wire.RECEIPT).seq, 1, "what was received is receipted");
  await fails(waits, "closed");
  await fails(asked, "closed");
  await fails(flushed, "closed");
  assert.equal(s.readyState, 3);
  assert.equal(w.clock.timers, 0);
  assert.deepEqual(w.told("state").slice(-1), [{ name: "ended", reason: "closed", error: null }]);
  assert.deepEqual(w.client.pending, [{ user: 1, conversation: "u2", text: "unsaid", cid: "C", retry: true }]);
  assert.deepEqual(w.client.saved, { user: 1, name: "alice", device: "d", token: "T", epoch: 7, last: { u2: 1 } });
  w.host.dispatchEvent(new Event("online"));
  assert.equal(w.sockets.length, 1);
  for (const p of [w.client.login("a", "b"), w.client.resume("T"), w.client.register("a", "b"), w.client.send("u2", "x"), w.client.flush(),
    w.client.logout(), w.client.findUser("x")].map(later)) await fails(p, "closed");
  w.client.close();
  assert.deepEqual(w.seen.filter(([name]) => name !== "token" && name !== "change"), []);
});

test("close from within a listener: none is called after that", async () => {
  const w = new World();
  const s = await w.login();
  const seen = [];
  w.client.on("message", (m) => { seen.push(m.seq); w.client.close(); });
  w.client.on("message", () => seen.push("another"));
  s.push({ ...chat(2) }, chat(3));
  assert.deepEqual(seen, [2]);
  assert.equal(w.told("state").at(-1).reason, "closed");
});

test("what life saved is gone on with", async () => {
  const w = new World();
  const saved = { user: 1, name: "alice", device: "d", token: "T", epoch: 7, last: { u2: 5 } };
  const done = w.client.resume(JSON.parse(JSON.stringify(saved)));
  assert.deepEqual(w.client.me, { id: 1, name: "alice", device: "d" });
  assert.deepEqual(w.client.saved, saved);
  await w.accept({ offlinemsg: [chat(5), chat(6)] });
  await done;
  assert.deepEqual(w.seqs(), [6], "5 was handled");
  assert.deepEqual(w.told("token"), [], "the token is the one there was");
  await fails(w.client.resume(null), "refused");
  await fails(w.client.loginToken(""), "refused");
});

test("another epoch: what is known by seq is forgotten", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1), chat(2));
  assert.deepEqual(w.seqs(), [1, 2]);
  s.drop();
  await w.clock.pass(100);
  await w.accept({ epoch: 8, offlinemsg: [chat(2)] });
  assert.deepEqual(w.told("epoch"), [{ epoch: 8 }]);
  assert.deepEqual(w.seqs(), [2]);
});

test("a setting that makes no sense is an error that names it", () => {
  class WebSocket {}
  for (const [config, word] of [[undefined, "url"], [{ url: "http://x" }, "url"], [{ url: [] }, "url"], [{ url: "ws://x", device: "" }, "device"],
    [{ url: "ws://x", device: "x".repeat(65) }, "device"], [{ url: "ws://x", window: 0 }, "window"], [{ url: "ws://x", pingEvery: NaN }, "pingEvery"],
    [{ url: "ws://x", WebSocket: null }, "WebSocket"]]) {
    assert.throws(() => new Client({ WebSocket, ...config }), (e) => e.errno === 4 && e.text.includes(word), JSON.stringify(config));
  }
  new Client({ url: "ws://x", WebSocket, window: 1000, device: undefined });
});

test("a WebSocket that throws is a connection that can't be made", async () => {
  const w = new World({ WebSocket: class { constructor() { throw new Error("not allowed here"); } } });
  const done = later(w.client.login("alice", "secret"));
  await w.clock.pass(0);
  assert.match((await fails(done, "notConnected")).text, /not allowed here/);
});
