// The guarantees of the SDK, with a real server and real failures.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Client, group, user } from "../chatd.js";
import { Cast, check, control, limited, log, name, until, url } from "./live.js";

test("message texts arrive unchanged", async (t) => {
  const cast = new Cast(t);
  const alice = await cast.user("alice");
  const bob = await cast.user("bob");
  const texts = ["hello", "😀 👨‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿", "x\u0000", "a\u0000b\u0001\u001f\u007f", "\u2028 \u2029 \u0085x", "</script><img src=x onerror=alert(1)>", "\\u0041 \\n \"'`", "\u202eright to left",
    "\ufeffmark", "e\u0301 is not \u00e9", "'; DROP TABLE messages; --", "\uffff \ufffe \u{10ffff}", "\r\n\tx ", "{\"msgid\":6}", "\ud83d\ude00", "__proto__", "ß".repeat(16_384)];
  const receipts = await Promise.all(texts.map((text) => alice.send(user(bob.id), text)));
  await check(alice, user(bob.id), texts, receipts, [{ client: bob, from: user(alice.id) }]);
  assert.deepEqual(await log(bob, user(alice.id), 3), bob.seen.message, "history, page by page, want the messages that were pushed");
  assert.deepEqual(bob.seen.message.map((m) => [m.from, m.name, m.time]), receipts.map((r) => [alice.id, alice.user, r.time]));
  await assert.rejects(alice.send(user(bob.id), "half of \ud83d"), { name: "badRequest" });
  assert.equal((await alice.send(user(alice.id), "a note")).seq, 1);
  await assert.rejects(alice.send(user(2 ** 53 - 1), "nobody"), { errno: 5, name: "notFound" });
  const page = await alice.history(user(bob.id), { after: 3, limit: 2 });
  assert.deepEqual([page.messages.map((m) => m.seq), page.first, page.last, page.more], [[4, 5], 1, texts.length, true]);
  assert.deepEqual([alice.logged, bob.logged], [[], []]);
});

test("each device gets every message once, also those sent while it was offline", async (t) => {
  const cast = new Cast(t);
  const alice = await cast.user("alice", { device: "laptop" });
  const bob = await cast.user("bob");
  let phone = cast.client({ device: "phone" });
  await phone.login(alice.user, "secret-1");
  await alice.send(user(bob.id), "from the laptop");
  await bob.send(user(alice.id), "back");
  await until("both devices have all", () => phone.seen.message.length === 2 && alice.seen.message.length === 1);
  assert.deepEqual(phone.seen.message.map((m) => [m.conversation, m.seq, m.from, m.text]), [[user(bob.id), 1, alice.id, "from the laptop"], [user(bob.id), 2, bob.id, "back"]]);
  phone.close();
  const { saved } = phone;
  assert.deepEqual(saved.last, { [user(bob.id)]: 2 });
  for (const text of ["3", "4", "5"]) await bob.send(user(alice.id), text);
  phone = cast.client({ device: "phone" });
  await phone.resume(JSON.parse(JSON.stringify(saved)));
  await until("the phone has the rest", () => phone.seen.message.length === 3);
  assert.deepEqual(phone.seen.message.map((m) => [m.seq, m.backlog]), [[3, true], [4, true], [5, true]]);
  await until("the laptop has them too", () => alice.seen.message.length === 4);
  alice.markRead(user(bob.id), 5);
  await until("phone and bob know that it was read", () => phone.seen.read.length === 1 && bob.seen.read.length === 1);
  assert.deepEqual(phone.seen.read, [{ conversation: user(bob.id), user: alice.id, seq: 5 }]);
  assert.deepEqual(bob.seen.read, [{ conversation: user(alice.id), user: alice.id, seq: 5 }]);
  const { conversations } = await phone.conversations();
  assert.deepEqual(conversations.map((c) => [c.conversation, c.name, c.last, c.read, c.message.text]), [[user(bob.id), bob.user, 5, 5, "5"]]);
});

test("no message is lost or stored twice when the server is killed and restarted", async (t) => {
  const cast = new Cast(t);
  const alice = await cast.user("alice");
  const bob = await cast.user("bob");
  const room = group(await alice.createGroup("room"));
  await bob.joinGroup(alice.groups[0].id);
  const texts = Array.from({ length: 400 }, (_, i) => `number ${i}`);
  const sent = [];
  const sendNext = (n) => {
    for (const text of texts.slice(sent.length, sent.length + n)) sent.push(alice.send(room, text));
  };
  const back = () => until("both are back", () => alice.state.name === "online" && bob.state.name === "online");
  sendNext(100);
  await Promise.race(sent);
  await control("kill");
  await until("both have lost the connection", () => alice.state.name !== "online" && bob.state.name !== "online");
  sendNext(100); // while the server is down
  assert.ok(alice.pending.length >= 100);
  await control("start");
  sendNext(50);
  await back();
  sendNext(50);
  await sent.at(-1);
  await control("stop"); // a graceful shutdown this time
  sendNext(50);
  await control("start");
  await back();
  sendNext(50);
  assert.equal(sent.length, texts.length);
  await check(alice, room, texts, await Promise.all(sent), [{ client: bob, from: room }]);
  assert.equal(alice.seen.sent.length, texts.length, "number of \"sent\" events");
  assert.equal(alice.seen.failed.length, 0);
  assert.ok(alice.stats.reconnects >= 2);
});

test("each message is stored once and in order when the connection is cut with messages in flight", async (t) => {
  const cast = new Cast(t);
  const relay = await cast.relay();
  const alice = await cast.user("alice", { url: relay.url });
  const bob = await cast.user("bob");
  let acks = 0;
  const cuts = [1, 20, 21, 60, 200];
  relay.decide = ({ msgid }) => (msgid === 12 && cuts.includes(++acks) ? "cut" : "pass");
  const texts = Array.from({ length: 300 }, (_, i) => `number ${i}`);
  const receipts = await Promise.all(texts.map((text) => alice.send(user(bob.id), text)));
  relay.decide = () => "pass"; // alice may know the last ones from the backlog, so more ACKs may follow
  await check(alice, user(bob.id), texts, receipts, [{ client: bob, from: user(alice.id) }]);
  assert.ok(alice.stats.repeated >= cuts.length, `repeated = ${alice.stats.repeated}, want at least ${cuts.length}`);
  assert.equal(alice.stats.acked, texts.length);
});

test("a restored client sends the pending messages with the same cid", async (t) => {
  const cast = new Cast(t);
  const relay = await cast.relay();
  const alice = await cast.user("alice", { url: relay.url });
  const bob = await cast.user("bob");
  relay.decide = ({ msgid }) => (msgid === 12 ? "drop" : "pass"); // stored, but the ACK is lost
  const texts = ["one", "two", "three"];
  texts.forEach((text) => alice.send(user(bob.id), text));
  await until("bob has them", () => bob.seen.message.length === 3);
  let kept;
  alice.on("pending", (pending) => (kept = JSON.stringify(pending)));
  texts.push("four");
  alice.send(user(bob.id), "four");
  await until("pending was reported", () => kept);
  alice.close();
  assert.equal(alice.pending.length, 4);
  const next = cast.client();
  next.id = alice.id;
  next.restore(JSON.parse(kept));
  await next.resume(alice.saved);
  await next.flush();
  const all = await log(next, user(bob.id));
  assert.deepEqual(all.map((m) => m.text), texts);
  assert.deepEqual(next.seen.sent.map((s) => [s.seq, s.cid]), all.map((m) => [m.seq, m.cid]));
});

test("messages arrive once and in order if the connection loses and repeats pushes", async (t) => {
  const cast = new Cast(t);
  const relay = await cast.relay();
  const alice = await cast.user("alice");
  const bob = await cast.user("bob", { url: relay.url });
  const done = new Set();
  relay.decide = ({ msgid, seq }) => {
    if (msgid !== 6 || done.has(seq)) return "pass";
    done.add(seq);
    return seq % 10 === 3 || (seq > 40 && seq < 60) ? "drop" : seq % 10 === 7 ? "twice" : "pass";
  };
  const texts = Array.from({ length: 100 }, (_, i) => `number ${i}`);
  const receipts = await Promise.all(texts.map((text) => alice.send(user(bob.id), text)));
  await check(alice, user(bob.id), texts, receipts, [{ client: bob, from: user(alice.id) }]);
  assert.ok(bob.stats.syncs > 0);
  assert.ok(bob.stats.duplicates > 0);
});

test("rate-limited messages and requests are retried, in order", async (t) => {
  const cast = new Cast(t);
  const alice = await cast.user("alice", { url: limited });
  const bob = await cast.user("bob", { url: limited });
  await alice.addFriend(bob.id); // so that no limit for strangers applies
  const texts = Array.from({ length: 150 }, (_, i) => `number ${i}`);
  const sent = texts.map((text) => alice.send(user(bob.id), text));
  const found = alice.findUser(bob.user); // must be retried too
  await check(alice, user(bob.id), texts, await Promise.all(sent), [{ client: bob, from: user(alice.id) }]);
  assert.equal((await found).id, bob.id);
  assert.ok(alice.stats.repeated > 0, "repeated = 0: the server never refused a message as too fast");
  assert.equal(alice.seen.failed.length, 0);
  assert.equal(alice.state.name, "online");
  assert.equal(alice.stats.reconnects, 0);
});

test("a replaced login, a changed password and a revoked token end a client", async (t) => {
  const cast = new Cast(t);
  const alice = await cast.user("alice");
  await assert.rejects(alice.register(alice.user.toUpperCase(), "secret-1"), { errno: 1, name: "refused" });
  const other = cast.client();
  await assert.rejects(other.login(alice.user, "wrong password"), { errno: 1 });
  assert.equal(other.state.reason, "password");
  await other.loginToken(alice.token); // the same device
  await until("the first client has ended", () => alice.state.name === "ended");
  assert.equal(alice.state.reason, "replaced");
  const phone = cast.client({ device: "phone" });
  await phone.login(alice.id, "secret-1");
  const old = other.token;
  await phone.changePassword("secret-1", "secret-2");
  await until("the other client has ended", () => other.state.name === "ended");
  assert.deepEqual([other.state.reason, other.token, other.seen.token.at(-1).token], ["logout", "", ""]);
  await assert.rejects(other.loginToken(old), { errno: 1 });
  assert.equal(other.state.reason, "token");
  await assert.rejects(phone.changePassword("secret-1", "secret3"), { errno: 1 });
  const { token } = phone;
  await phone.logout();
  await assert.rejects(other.loginToken(token), { errno: 1 });
  await other.login(alice.user, "secret-2");
  // A client that misses the KICK: its token is refused when it reconnects.
  const relay = await cast.relay();
  const tablet = cast.client({ device: "tablet", url: relay.url });
  await tablet.login(alice.user, "secret-2");
  relay.decide = ({ msgid }) => (msgid === 23 ? "drop" : "pass"); // KICK
  await other.changePassword("secret-2", "secret3");
  await until("the tablet has ended", () => tablet.state.name === "ended");
  assert.equal(tablet.state.reason, "token");
});

test("friends, presence, groups, blocks and events", async (t) => {
  const cast = new Cast(t);
  const alice = await cast.user("alice", { device: "laptop" });
  const phone = cast.client({ device: "phone" });
  await phone.login(alice.user, "secret-1");
  const bob = await cast.user("bob");

  assert.deepEqual(await alice.findUser(bob.user), { id: bob.id, name: bob.user });
  assert.deepEqual(await alice.addFriend(bob.id), { id: bob.id, name: bob.user, state: "online" });
  await assert.rejects(alice.addFriend(bob.id), { errno: 7, name: "already" });
  await until("bob and the phone have a new friend", () => bob.friends.length === 1 && phone.friends.length === 1);
  const relay = await cast.relay();
  const carol = await cast.user("carol", { url: relay.url });
  await carol.addFriend(alice.id);
  await until("alice sees that carol is online", () => alice.friends.some((f) => f.id === carol.id && f.state === "online"));
  carol.close();
  await until("alice sees that carol is offline", () => alice.seen.presence.some((p) => p.user === carol.id && p.state === "offline"));
  assert.equal(alice.friends.find((f) => f.id === carol.id).state, "offline");

  const id = await alice.createGroup("a group", "about it");
  await until("the phone has the group and its name", () => phone.groups[0]?.name === "a group");
  const joined = await bob.joinGroup(id);
  assert.deepEqual([joined.name, joined.description, joined.count], ["a group", "about it", 2]);
  await until("alice and the phone see two members", () => alice.groups[0].count === 2 && phone.groups[0].count === 2);
  assert.deepEqual((await alice.groupUsers(id)).users.map((u) => [u.id, u.role]), [[alice.id, "creator"], [bob.id, "normal"]]);
  assert.deepEqual((await alice.groupUsers(id, { after: alice.id })).users.map((u) => u.id), [bob.id]);
  assert.equal((await bob.send(group(id), "to all")).seq, 1);
  await until("alice and the phone have the message", () => alice.seen.message.length === 1 && phone.seen.message.length === 1);
  assert.ok(bob.typing(group(id)));
  assert.ok(bob.tell(user(alice.id), "ring", "loud"));
  await until("alice and the phone have both events", () => alice.seen.event.length === 2 && phone.seen.event.length === 2);
  alice.seen.event.sort((a, b) => (a.kind < b.kind ? -1 : 1));
  assert.deepEqual(alice.seen.event, [{ conversation: user(bob.id), from: bob.id, name: bob.user, kind: "ring", data: "loud" },
    { conversation: group(id), from: bob.id, name: bob.user, kind: "typing", data: "" }]);

  await assert.rejects(alice.leaveGroup(id), { errno: 6 });
  await alice.kickMember(id, bob.id);
  await until("bob is no longer a member", () => bob.groups.length === 0);
  await assert.rejects(bob.send(group(id), "still here?"), { errno: 6, name: "notAllowed" });
  await bob.joinGroup(id);
  await bob.leaveGroup(id);
  await bob.joinGroup(id);
  await alice.dismissGroup(id);
  await until("bob and the phone no longer have the group", () => bob.groups.length === 0 && phone.groups.length === 0);
  await assert.rejects(bob.history(group(id)), { errno: 5 });

  await alice.block(bob.id, true);
  await assert.rejects(bob.send(user(alice.id), "hello?"), { errno: 6 });
  await until("the phone sees the block", () => phone.seen.change.some((c) => c.kind === "blocked" && c.user === bob.id));
  await alice.block(bob.id, false);
  assert.equal((await bob.send(user(alice.id), "hello!")).seq, 1);
  await alice.delFriend(bob.id);
  await until("the friendship is removed for both", () => bob.friends.length === 0 && phone.friends.length === 1);
  await assert.rejects(alice.findUser(name("nobody")), { errno: 5 });
  assert.deepEqual([alice.logged, bob.logged, phone.logged], [[], [], []]);
});

test("promises are rejected if no connection can be made", async (t) => {
  const cast = new Cast(t);
  const gone = await cast.relay();
  gone.refuse = true;
  const nobody = cast.client({ url: gone.url });
  await assert.rejects(nobody.login("alice", "secret-1"), { name: "notConnected" });
  await assert.rejects(nobody.register("alice", "secret-1"), { name: "notConnected" });
  const waits = nobody.resume("token");
  await until("the client waits to reconnect", () => nobody.state.name === "offline");
  nobody.close();
  await assert.rejects(waits, { name: "closed" });
});

test("the examples in README.md work", async () => {
  const [first, second] = [...readFileSync(new URL("../README.md", import.meta.url), "utf8").matchAll(/```js\n([^]*?)```/g)].map((m) => m[1]);
  const said = [];
  const [, imports, body] = /^(import .*\n)([^]*)$/.exec(first);
  assert.ok(imports.includes("{ Client, user }"));
  const words = { "wss://chat.example.org/ws": url, '"alice"': JSON.stringify(name("alice")), '"bob"': JSON.stringify(name("bob")) };
  words["await alice.logout();"] = "await heard(); await alice.logout();";
  for (const word of Object.keys(words)) assert.ok(body.includes(word), word);
  const code = Object.entries(words).reduce((text, [from, to]) => text.replaceAll(from, to), body);
  const AsyncFunction = (async () => {}).constructor;
  const heard = () => until("the example has printed two lines", () => said.length === 2);
  await new AsyncFunction("Client", "user", "console", "heard", code)(Client, user, { log: (line) => said.push(line) }, heard);
  assert.deepEqual(said.map((line) => line.replace(/\w+:/, "bob:").replace(/, .*/, "")).sort(), ["bob: hello", "seq 1"]);
  new Function(second); // throws if it isn't valid JavaScript
});
