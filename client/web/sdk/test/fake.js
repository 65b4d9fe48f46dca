// A server, a clock and dice that do what a test says: nothing here takes time.

import assert from "node:assert/strict";
import { Client } from "../chatd.js";
import * as wire from "../wire.js";

export * as wire from "../wire.js";

/** Lets all promises that can be settled be settled. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

export class Clock {
  time = 1_700_000_000_000;
  #timers = new Map();
  #next = 1;

  now = () => this.time;

  setTimeout = (run, ms) => {
    assert.ok(Number.isFinite(ms) && ms >= 0, `a timer of ${ms} ms`);
    this.#timers.set(this.#next, { at: this.time + ms, run });
    return this.#next++;
  };

  clearTimeout = (timer) => {
    this.#timers.delete(timer);
  };

  get timers() {
    return this.#timers.size;
  }

  /** Goes on by ms; what is due runs at its time. */
  async pass(ms) {
    await settle();
    const end = this.time + ms;
    for (;;) {
      const due = [...this.#timers].filter(([, t]) => t.at <= end).sort(([i, a], [j, b]) => a.at - b.at || i - j)[0];
      if (!due) break;
      const [timer, { at, run }] = due;
      this.#timers.delete(timer);
      this.time = Math.max(this.time, at);
      run();
      await settle();
    }
    this.time = end;
    await settle();
  }

  /** The machine sleeps for ms: what would have been due runs late. */
  async sleep(ms) {
    await settle();
    this.time += ms;
    await this.pass(0);
  }
}

/** A WebSocket of which the test is the other end. */
class Socket {
  readyState = 0;
  bufferedAmount = 0;
  sent = []; // frames, PINGs aside
  pings = 0;
  deaf = false; // PINGs get no answer

  constructor(url, net) {
    this.url = url;
    net.sockets.push(this);
  }

  send(text) {
    assert.equal(this.readyState, 1, "it sends on a socket that isn't open");
    const frame = JSON.parse(text);
    if (frame.msgid !== wire.PING) return this.sent.push(frame);
    this.pings++;
    if (!this.deaf) queueMicrotask(() => this.readyState === 1 && this.push({ msgid: wire.PONG }));
  }

  close() {
    this.readyState = 3;
  }

  // --- the test's side

  open() {
    this.readyState = 1;
    this.onopen?.();
  }

  push(...frames) {
    for (const frame of frames) this.onmessage?.({ data: JSON.stringify(frame) });
  }

  raw(data) {
    this.onmessage?.({ data });
  }

  /** The other side ends it. */
  drop(code = 1006) {
    this.readyState = 3;
    this.onerror?.({});
    this.onclose?.({ code });
  }

  /** Takes the next frame, which must be of that op. */
  take(msgid) {
    const frame = this.sent.shift();
    assert.ok(frame, `nothing was sent, wanted ${msgid}`);
    assert.equal(frame.msgid, msgid, JSON.stringify(frame));
    return frame;
  }

  /** Takes all frames, which must be of that op. */
  all(msgid) {
    const frames = this.sent.splice(0);
    for (const f of frames) assert.equal(f.msgid, msgid, JSON.stringify(f));
    return frames;
  }

  none() {
    assert.deepEqual(this.sent, []);
  }

  /** Answers a request: its ACK, or where it has none ERROR. */
  answer(request, fields = {}) {
    this.push({ msgid: acks[request.msgid] ?? wire.ERROR, rid: request.rid, errno: 0, ...fields });
  }

  /** Says that a message is stored. */
  stored(request, seq) {
    this.answer(request, { seq, time: seq * 1000, cid: request.cid });
  }
}

const acks = { [wire.LOGIN]: 2, [wire.LOGOUT]: 11, [wire.REG]: 5, [wire.ONE_CHAT]: 12, [wire.ADD_FRIEND]: 13, [wire.CREATE_GROUP]: 14,
  [wire.ADD_GROUP]: 15, [wire.GROUP_CHAT]: 16, [wire.SYNC]: 22, [wire.DEL_FRIEND]: 27, [wire.LEAVE_GROUP]: 29, [wire.KICK_MEMBER]: 31,
  [wire.DISMISS_GROUP]: 33, [wire.BLOCK]: 35, [wire.FIND_USER]: 37, [wire.PASSWORD]: 39, [wire.GROUP_USERS]: 41, [wire.CONVERSATIONS]: 43 };

/** The names of all events. */
export const eventNames = ["state", "message", "sent", "failed", "pending", "event", "read", "presence", "change", "token", "epoch"];

/** A client of alice (1) on device "d" with a fake all around it. */
export class World {
  clock = new Clock();
  sockets = [];
  dice = 0.5; // what random says
  seen = []; // [name, what] of all events, "pending" aside
  logged = [];
  host = new EventTarget();

  constructor(config = {}) {
    const world = this;
    this.host.document = new EventTarget();
    this.client = new Client({
      url: "ws://fake/ws", device: "d", clock: this.clock, random: () => this.dice, host: this.host,
      log: (level, text, detail) => level !== "debug" && this.logged.push([level, text, detail]),
      WebSocket: class { constructor(url) { return new Socket(url, world); } },
      ...config,
    });
    for (const name of eventNames) if (name !== "pending") this.client.on(name, (what) => this.seen.push([name, what]));
  }

  /** The one that was made last. */
  get socket() {
    return this.sockets.at(-1);
  }

  /** What was told under a name since it was asked for last. */
  told(name) {
    const mine = this.seen.filter(([n]) => n === name).map(([, what]) => what);
    this.seen = this.seen.filter(([n]) => n !== name);
    return mine;
  }

  seqs() {
    return this.told("message").map((m) => m.seq);
  }

  /** Lets the last connection open and the login succeed. */
  async accept(fields = {}) {
    this.socket.open();
    const login = this.socket.take(wire.LOGIN);
    this.socket.answer(login, { id: 1, name: "alice", device: "d", token: "T", node: "n", window: 256, epoch: 7,
      friends: [], groups: [], offlinemsg: [], more: false, ...fields });
    await settle();
    return login;
  }

  async login(fields) {
    const done = this.client.login("alice", "secret");
    await this.accept(fields);
    await done;
    return this.socket;
  }
}

/** A pushed message of bob (2) to alice. */
export const chat = (seq, more) => ({ msgid: wire.ONE_CHAT, id: 2, name: "bob", toid: 1, msg: `m${seq}`, time: seq * 1000, seq, cid: `c${seq}`, ...more });

/** What a promise comes to, without waiting: undefined, ["ok", value] or ["error", error]. */
export async function outcome(promise) {
  let how;
  promise.then((value) => (how = ["ok", value]), (error) => (how = ["error", error]));
  await settle();
  return how;
}

/** A promise that is looked at later. */
export function later(promise) {
  promise.catch(() => {});
  return promise;
}

export async function fails(promise, name) {
  const how = await outcome(promise);
  assert.ok(how, `still waiting, wanted ${name}`);
  assert.equal(how[0], "error", `it was done, wanted ${name}`);
  assert.equal(how[1].name, name, how[1].text);
  return how[1];
}
