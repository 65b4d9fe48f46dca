// Connections: logins, reconnects, PINGs, and how a client ends.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "../chatd.js";
import { World, chat, fails, later, outcome, settle, wire } from "./fake.js";

const names = (states) => states.map((s) => s.name);

test("login sends name, password and device, and ack: true", async () => {
  const w = new World();
  const done = w.client.login("alice", "secret");
  assert.deepEqual(await w.accept(), { msgid: wire.LOGIN, rid: 1, name: "alice", password: "secret", device: "d", ack: true });
  await done;
  assert.deepEqual(names(w.events("state")), ["connecting", "online"]);
  assert.deepEqual(w.events("token"), [{ token: "T", user: 1, name: "alice", device: "d" }]);
  assert.deepEqual(w.client.me, { id: 1, name: "alice", device: "d" });
  assert.equal(w.client.token, "T");
  await fails(w.client.login("alice", "secret"), "loggedIn");
  assert.equal(w.client.state.name, "online", "a refused second login must not affect the first");
});

test("login takes digits as an ID, loginToken sends no device, and both send brief", async () => {
  const w = new World({ brief: true });
  w.client.login("42", "secret").catch(() => {});
  w.socket.open();
  assert.deepEqual(w.socket.take(wire.LOGIN), { msgid: wire.LOGIN, rid: 1, id: 42, password: "secret", device: "d", ack: true, brief: true });
  w.client.loginToken("tok").catch(() => {});
  w.socket.open();
  assert.deepEqual(w.socket.take(wire.LOGIN), { msgid: wire.LOGIN, rid: 2, token: "tok", ack: true, brief: true });
});

test("reconnect delays are random below a bound that doubles up to backoffMax", async () => {
  const w = new World({ backoffMin: 200, backoffMax: 5_000 });
  await w.login();
  w.events("state");
  w.socket.drop();
  const bounds = [200, 400, 800, 1600, 3200, 5000, 5000];
  for (const [i, bound] of bounds.entries()) {
    const [offline] = w.events("state");
    assert.equal(offline.name, "offline");
    assert.equal(offline.retryIn, bound / 2, "retryIn with random() = 0.5");
    assert.equal(offline.retryAt, w.clock.now() + bound / 2);
    assert.equal(offline.attempt, i);
    assert.equal(offline.error.name, "notConnected");
    const before = w.sockets.length;
    await w.clock.pass(bound / 2 - 1);
    assert.equal(w.sockets.length, before, "reconnected too early");
    w.dice = 0.5;
    await w.clock.pass(1);
    assert.equal(w.sockets.length, before + 1);
    assert.deepEqual(w.events("state"), [{ name: "connecting", attempt: i + 1 }]);
    w.socket.drop();
  }
  w.dice = 0; // full jitter: the delay may be 0
  await w.clock.pass(2_500);
  w.socket.drop();
  assert.equal(w.events("state").at(-1).retryIn, 0);
});

test("reconnect delays start over only after a stable connection", async () => {
  const w = new World({ backoffMin: 200, backoffMax: 5_000 });
  await w.login();
  w.socket.drop();
  await w.clock.pass(100);
  await w.accept();
  await w.clock.pass(4_000);
  w.socket.drop();
  assert.equal(w.events("state").at(-1).attempt, 1, "a short connection must not reset the attempt counter");
  await w.clock.pass(200);
  await w.accept();
  await w.clock.pass(6_000);
  w.socket.drop();
  assert.equal(w.events("state").at(-1).attempt, 0);
  assert.equal(w.client.stats.reconnects, 2);
});

test("a reconnect delay requested by the server is obeyed, also by retryNow", async () => {
  const w = new World();
  await w.login();
  w.socket.push({ msgid: wire.KICK, reason: "draining", errmsg: "the server is shutting down", retry_after_ms: 4_000 });
  const [offline] = w.events("state").slice(-1);
  assert.equal(offline.retryIn, 4_000 + 500 + 100);
  assert.equal(offline.error.name, "kicked");
  assert.equal(w.sockets.length, 1);
  await w.clock.pass(3_999);
  w.client.retryNow();
  assert.equal(w.sockets.length, 1, "retryNow reconnected earlier than the server asked");
  await w.clock.pass(1);
  w.client.retryNow();
  assert.equal(w.sockets.length, 2);
  await w.accept();
  await w.clock.pass(60_000);
  assert.equal(w.sockets.length, 2, "retryNow must cancel the timer of the planned reconnect");
});

test("retryNow, the browser going online, and a page becoming visible reconnect at once", async () => {
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

test("after going online, delays are short again, in case the network needs a moment", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  for (let i = 0; i < 10; i++) {
    await w.clock.pass(15_000);
    w.socket.drop();
  }
  assert.equal(w.events("state").at(-1).retryIn, 15_000);
  w.host.dispatchEvent(new Event("online"));
  w.socket.drop();
  assert.equal(w.events("state").at(-1).retryIn, 100);
});

test("a page becoming hidden doesn't reconnect", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  w.host.document.visibilityState = "hidden";
  w.host.document.dispatchEvent(new Event("visibilitychange"));
  assert.equal(w.sockets.length, 1);
});

test("retryNow restarts a connection attempt that is older than a second", async () => {
  const w = new World();
  const done = w.client.resume("T");
  w.client.retryNow();
  assert.equal(w.sockets.length, 1, "a new attempt must not be restarted");
  await w.clock.pass(2_000);
  w.client.retryNow();
  assert.equal(w.sockets.length, 2);
  assert.equal(w.sockets[0].readyState, 3, "readyState of the first socket: want closed");
  w.sockets[0].onopen?.(); // must have no effect
  assert.deepEqual(names(w.events("state")), ["connecting", "connecting"]);
  await w.accept();
  await done;
});

test("resume retries until it is logged in, and messages are queued meanwhile", async () => {
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

test("a failed login by password isn't retried", async () => {
  const w = new World();
  const done = w.client.login("alice", "secret");
  w.socket.drop();
  await fails(done, "notConnected");
  const [state] = w.events("state").slice(-1);
  assert.deepEqual([state.name, state.reason, state.error.name], ["ended", "failed", "notConnected"]);
  await w.clock.pass(600_000);
  assert.equal(w.sockets.length, 1);
  assert.equal(w.clock.timers, 0, "timers still running");
});

test("refused logins end the client with the reason password, token or failed", async () => {
  const w = new World();
  const refuse = (errno, more) => {
    w.socket.open();
    w.socket.answer(w.socket.take(wire.LOGIN), { errno, errmsg: "no", ...more });
  };
  let done = w.client.login("alice", "wrong");
  refuse(1);
  assert.equal((await fails(done, "refused")).errno, 1);
  assert.equal(w.events("state").at(-1).reason, "password");

  done = w.client.loginToken("old");
  refuse(1);
  await fails(done, "refused");
  assert.equal(w.events("state").at(-1).reason, "token");

  done = w.client.loginToken("T");
  refuse(9, { retry_after_ms: 3_000 });
  assert.equal((await fails(done, "tooFast")).retryAfter, 3_000);
  assert.equal(w.events("state").at(-1).reason, "failed");

  // After a lost connection, only a refused token ends the client.
  await w.login();
  assert.equal(w.events("token").at(-1).token, "T");
  w.socket.drop();
  await w.clock.pass(100);
  refuse(9, { retry_after_ms: 8_000 });
  assert.equal(w.events("state").at(-1).retryIn, 8_000 + 1_000 + 200);
  await w.clock.pass(9_200);
  refuse(10);
  await w.clock.pass(400);
  refuse(1);
  const [state] = w.events("state").slice(-1);
  assert.deepEqual([state.name, state.reason], ["ended", "token"]);
  assert.equal(w.events("token").at(-1).token, "", "a \"token\" event must tell the application to delete the token");
  assert.equal(w.client.token, "");
});

test("a client reconnects after KICK, except after replaced, logout and abuse", async () => {
  for (const [reason, ends] of [["replaced", true], ["logout", true], ["abuse", true], ["draining", false], ["slow", false], ["idle", false]]) {
    const w = new World();
    await w.login();
    const waits = w.client.send("u2", "kept");
    w.socket.push({ msgid: wire.KICK, reason, errmsg: "for a reason" });
    const [state] = w.events("state").slice(-1);
    assert.equal(state.name, ends ? "ended" : "offline", reason);
    assert.equal(state.error.text, "for a reason");
    if (ends) assert.equal(state.reason, reason);
    await w.clock.pass(60_000);
    assert.equal(w.sockets.length > 1, !ends, reason);
    assert.equal(w.client.token, reason === "logout" ? "" : "T");
    assert.equal(await outcome(waits), undefined, "an unacknowledged message must be kept until its user logs in again");
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

test("a client that is replaced by a login that it has given up reconnects once", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  await w.clock.pass(100);
  w.socket.open();
  w.socket.drop(); // the client doesn't know what has become of this login
  await w.clock.pass(1_000);
  await w.accept();
  w.socket.push({ msgid: wire.KICK, reason: "replaced" });
  assert.equal(w.events("state").at(-1).name, "offline");
  await w.clock.pass(1_000);
  await w.accept();
  w.socket.push({ msgid: wire.KICK, reason: "replaced" });
  assert.equal(w.events("state").at(-1).reason, "replaced", "only one KICK can come from the login that was given up");
});

test("a KICK instead of the answer to a login ends the client", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  await w.clock.pass(100);
  w.socket.open();
  w.socket.push({ msgid: wire.KICK, reason: "replaced", errmsg: "elsewhere" });
  assert.equal(w.events("state").at(-1).reason, "replaced");
});

test("an ERROR that refuses the connection is reported, and its delay obeyed", async () => {
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
  assert.equal(w.events("state").at(-1).retryIn, 2_000 + 250 + 200);
});

test("connecting and logging in have a timeout", async () => {
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

test("several URLs are tried in turn, without a delay until all have failed", async () => {
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

test("a PING is sent every 30 s, and the connection closed if nothing arrives within 15 s", async () => {
  const w = new World();
  const s = await w.login();
  await w.clock.pass(29_999);
  assert.equal(s.pings, 0);
  await w.clock.pass(1);
  assert.equal(s.pings, 1);
  await w.clock.pass(3_600_000);
  assert.equal(s.pings, 121, "PINGs sent within an hour");
  assert.equal(w.client.state.name, "online");
  s.deaf = true;
  await w.clock.pass(30_000);
  s.push(chat(1)); // any frame counts as an answer
  await w.clock.pass(15_000);
  assert.equal(w.client.state.name, "online");
  await w.clock.pass(15_000 + 14_999);
  assert.equal(w.client.state.name, "online");
  await w.clock.pass(1);
  assert.equal(w.client.state.name, "offline");
  assert.equal(s.readyState, 3);
});

test("a PING from the server is answered", async () => {
  const w = new World();
  const s = await w.login();
  s.push({ msgid: wire.PING });
  assert.deepEqual(s.take(wire.PONG), { msgid: wire.PONG });
});

test("after the computer slept, a live connection is kept and a dead one closed", async () => {
  for (const alive of [true, false]) {
    const w = new World();
    const s = await w.login();
    s.deaf = true;
    await w.clock.pass(30_000); // a PING is sent, then the computer sleeps
    assert.equal(s.pings, 1);
    if (alive) s.deaf = false;
    await w.clock.sleep(8 * 3_600_000);
    assert.ok(s.pings >= 2, `got ${s.pings} PINGs: a timer that fired late must send another one`);
    await w.clock.pass(15_000);
    assert.equal(w.client.state.name, alive ? "online" : "offline");
  }
});

test("a dead connection is closed even if the browser delays every timer", async () => {
  const w = new World();
  const s = await w.login();
  s.deaf = true;
  for (let minute = 0; minute < 4; minute++) await w.clock.sleep(60_000);
  assert.ok(!w.sockets[0].onmessage && s.readyState === 3, `readyState = ${s.readyState}, want 3 (closed)`);
});

test("a connection isn't closed while buffered data is still being sent", async () => {
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
  assert.equal(w.client.state.name, "offline", "the buffer no longer shrinks: the connection must be closed");
});

test("the connection is checked when the network changes", async () => {
  for (const name of ["online", "offline"]) {
    const w = new World();
    const s = await w.login();
    await w.clock.pass(31_000);
    assert.equal(s.pings, 1);
    w.host.dispatchEvent(new Event(name));
    await settle();
    assert.equal(s.pings, 2, "a PING must be sent even if one was answered a second ago");
    await w.clock.pass(5_000);
    assert.equal(w.client.state.name, "online");
    s.deaf = true;
    w.host.dispatchEvent(new Event(name));
    w.host.dispatchEvent(new Event(name));
    assert.equal(s.pings, 3, "no second PING while one is unanswered");
    await w.clock.pass(5_000);
    assert.equal(w.client.state.name, "offline");
  }
});

test("logout sends LOGOUT, deletes the token and fails unacknowledged messages", async () => {
  const w = new World();
  const s = await w.login();
  const waits = w.client.send("u2", "x");
  s.take(wire.ONE_CHAT);
  const done = w.client.logout();
  s.answer(s.take(wire.LOGOUT));
  await done;
  await fails(waits, "loggedOut");
  assert.equal(w.events("failed")[0].maybeStored, true);
  assert.equal(w.client.token, "");
  assert.equal(w.client.saved, null);
  assert.equal(s.readyState, 3);
  const [state] = w.events("state").slice(-1);
  assert.deepEqual(state, { name: "ended", reason: "loggedOut", error: null });
  await w.clock.pass(600_000);
  assert.equal(w.sockets.length, 1);
  await w.client.logout(); // a second logout has no effect
});

test("logout without a connection rejects with notConnected, but logs out locally", async () => {
  const w = new World();
  await w.login();
  w.socket.drop();
  await fails(w.client.logout(), "notConnected");
  assert.equal(w.client.state.reason, "loggedOut");
  // The connection is lost before the answer.
  await w.login();
  const done = w.client.logout();
  w.socket.drop();
  await fails(done, "notConnected");
  assert.equal(w.client.state.reason, "loggedOut");
  await w.clock.pass(60_000);
  assert.equal(w.client.state.reason, "loggedOut", "it must not reconnect");
});

test("logout gives up on a dead connection after 5 s", async () => {
  const w = new World();
  const s = await w.login();
  s.deaf = true;
  const done = later(w.client.logout());
  await w.clock.pass(5_000);
  await fails(done, "notConnected");
});

test("received messages are forgotten when another user logs in", async () => {
  const w = new World();
  await w.login();
  w.socket.push(chat(1), chat(2));
  w.socket.push({ msgid: wire.KICK, reason: "replaced" });
  w.events("message");
  await w.login({ id: 9, name: "eve", offlinemsg: [{ ...chat(1), toid: 9 }] });
  assert.deepEqual(w.seqs(), [1]);
  w.socket.push({ msgid: wire.KICK, reason: "replaced" });
  await w.login({ offlinemsg: [chat(1)] });
  assert.deepEqual(w.seqs(), [1]);
});

test("register uses a separate connection and doesn't affect the login", async () => {
  const w = new World();
  const s = await w.login();
  const done = w.client.register("bob", "secret");
  assert.equal(w.sockets.length, 2);
  w.socket.open();
  w.socket.answer(w.socket.take(wire.REG), { id: 9 });
  assert.equal(await done, 9);
  assert.equal(w.socket.readyState, 3);
  const taken = w.client.register("bob", "secret", "C0DE");
  w.socket.open();
  const request = w.socket.take(wire.REG);
  assert.equal(request.code, "C0DE");
  w.socket.answer(request, { errno: 1, errmsg: "the name is taken" });
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

test("a new login aborts the one in progress", async () => {
  const w = new World();
  const first = later(w.client.resume("old"));
  const second = w.client.login("alice", "secret");
  await fails(first, "aborted");
  assert.equal(w.sockets[0].readyState, 3);
  await w.accept();
  await second;
});

test("a WebSocket error ends the connection even without a close event", async () => {
  const w = new World();
  const done = later(w.client.login("alice", "secret"));
  w.socket.onerror({});
  await fails(done, "notConnected");
  await w.login();
  w.socket.onerror({});
  assert.equal(w.client.state.name, "offline");
});

test("close rejects all promises, stops all events, and keeps pending and saved", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1));
  const waits = w.client.send("u2", "unsaid", { cid: "C" });
  s.take(wire.ONE_CHAT);
  const asked = later(w.client.findUser("bob"));
  s.take(wire.FIND_USER);
  const flushed = later(w.client.flush());
  w.events("message");
  w.client.close();
  assert.deepEqual(s.take(wire.RECEIPT).seq, 1, "close must send the outstanding receipt");
  await fails(waits, "closed");
  await fails(asked, "closed");
  await fails(flushed, "closed");
  assert.equal(s.readyState, 3);
  assert.equal(w.clock.timers, 0);
  assert.deepEqual(w.events("state").slice(-1), [{ name: "ended", reason: "closed", error: null }]);
  assert.deepEqual(w.client.pending, [{ user: 1, conversation: "u2", text: "unsaid", cid: "C", retry: true }]);
  assert.deepEqual(w.client.saved, { user: 1, name: "alice", device: "d", token: "T", epoch: 7, last: { u2: 1 } });
  w.host.dispatchEvent(new Event("online"));
  assert.equal(w.sockets.length, 1);
  for (const p of [w.client.login("a", "b"), w.client.resume("T"), w.client.register("a", "b"), w.client.send("u2", "x"), w.client.flush(),
    w.client.logout(), w.client.findUser("x")].map(later)) await fails(p, "closed");
  w.client.close();
  assert.deepEqual(w.seen.filter(([name]) => name !== "token" && name !== "change"), []);
});

test("no listener is called after one has called close", async () => {
  const w = new World();
  const s = await w.login();
  const seen = [];
  w.client.on("message", (m) => { seen.push(m.seq); w.client.close(); });
  w.client.on("message", () => seen.push("another"));
  s.push({ ...chat(2) }, chat(3));
  assert.deepEqual(seen, [2]);
  assert.equal(w.events("state").at(-1).reason, "closed");
});

test("resume continues from saved", async () => {
  const w = new World();
  const saved = { user: 1, name: "alice", device: "d", token: "T", epoch: 7, last: { u2: 5 } };
  const done = w.client.resume(JSON.parse(JSON.stringify(saved)));
  assert.deepEqual(w.client.me, { id: 1, name: "alice", device: "d" });
  assert.deepEqual(w.client.saved, saved);
  await w.accept({ offlinemsg: [chat(5), chat(6)] });
  await done;
  assert.deepEqual(w.seqs(), [6], "message 5 was handled before");
  assert.deepEqual(w.events("token"), [], "no event: the token hasn't changed");
  await fails(w.client.resume(null), "refused");
  await fails(w.client.loginToken(""), "refused");
});

test("received seqs are forgotten when the epoch changes", async () => {
  const w = new World();
  const s = await w.login();
  s.push(chat(1), chat(2));
  assert.deepEqual(w.seqs(), [1, 2]);
  s.drop();
  await w.clock.pass(100);
  await w.accept({ epoch: 8, offlinemsg: [chat(2)] });
  assert.deepEqual(w.events("epoch"), [{ epoch: 8 }]);
  assert.deepEqual(w.seqs(), [2]);
});

test("an invalid setting is refused with an error that names it", () => {
  class WebSocket {}
  for (const [config, word] of [[undefined, "url"], [{ url: "http://x" }, "url"], [{ url: [] }, "url"], [{ url: "ws://x", device: "" }, "device"],
    [{ url: "ws://x", device: "x".repeat(65) }, "device"], [{ url: "ws://x", window: 0 }, "window"], [{ url: "ws://x", pingEvery: NaN }, "pingEvery"],
    [{ url: "ws://x", WebSocket: null }, "WebSocket"]]) {
    assert.throws(() => new Client({ WebSocket, ...config }), (e) => e.errno === 4 && e.text.includes(word), JSON.stringify(config));
  }
  new Client({ url: "ws://x", WebSocket, window: 1000, device: undefined });
});

test("an exception of the WebSocket constructor is reported as notConnected", async () => {
  const w = new World({ WebSocket: class { constructor() { throw new Error("not allowed here"); } } });
  const done = later(w.client.login("alice", "secret"));
  await w.clock.pass(0);
  assert.match((await fails(done, "notConnected")).text, /not allowed here/);
});
