// A fake server, clock and random numbers, controlled by the test: no test waits.

import assert from "node:assert/strict";
import { Client } from "../chatd.js";
import * as wire from "../wire.js";

export * as wire from "../wire.js";

/** Lets all pending promise callbacks run. */
export const settle = () => new Promise((resolve) => setImmediate(resolve));

export class Clock {
  time = 1_700_000_000_000;
  #timers = new Map();
  #next = 1;

  now = () => this.time;

  setTimeout = (run, ms) => {
    assert.ok(Number.isFinite(ms) && ms >= 0, `setTimeout with ${ms} ms`);
    this.#timers.set(this.#next, { at: this.time + ms, run });
    return this.#next++;
  };

  clearTimeout = (timer) => {
    this.#timers.delete(timer);
  };

  get timers() {
    return this.#timers.size;
  }

  /** Advances the clock by ms; timers run when they are due. */
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

  /** Simulates a computer that sleeps for ms: timers due meanwhile run late. */
  async sleep(ms) {
    await settle();
    this.time += ms;
    await this.pass(0);
  }
}

/** A WebSocket whose other end is the test. */
class Socket {
  readyState = 0;
  bufferedAmount = 0;
  sent = []; // frames sent by the client and not yet taken, without PINGs
  pings = 0;
  deaf = false; // don't answer PINGs

  constructor(url, net) {
    this.url = url;
    net.sockets.push(this);
  }

  send(text) {
    assert.equal(this.readyState, 1, "sent a frame on a socket that isn't open");
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

  /** The server closes the connection. */
  drop(code = 1006) {
    this.readyState = 3;
    this.onerror?.({});
    this.onclose?.({ code });
  }

  /** Returns and removes the next frame, which must have the op msgid. */
  take(msgid) {
    const frame = this.sent.shift();
    assert.ok(frame, `no frame was sent, want op ${msgid}`);
    assert.equal(frame.msgid, msgid, `sent ${JSON.stringify(frame)}, want op ${msgid}`);
    return frame;
  }

  /** Returns and removes all frames, which must have the op msgid. */
  all(msgid) {
    const frames = this.sent.splice(0);
    for (const f of frames) assert.equal(f.msgid, msgid, `sent ${JSON.stringify(f)}, want op ${msgid}`);
    return frames;
  }

  nothingSent() {
    assert.deepEqual(this.sent, [], "frames sent, want none");
  }

  /** Answers a request with its ACK, or with ERROR if it has none. */
  answer(request, fields = {}) {
    this.push({ msgid: acks[request.msgid] ?? wire.ERROR, rid: request.rid, errno: 0, ...fields });
  }

  /** Acknowledges a message as stored with seq. */
  stored(request, seq) {
    this.answer(request, { seq, time: seq * 1000, cid: request.cid });
  }
}

const acks = { [wire.LOGIN]: 2, [wire.LOGOUT]: 11, [wire.REG]: 5, [wire.ONE_CHAT]: 12, [wire.ADD_FRIEND]: 13, [wire.CREATE_GROUP]: 14,
  [wire.ADD_GROUP]: 15, [wire.GROUP_CHAT]: 16, [wire.SYNC]: 22, [wire.DEL_FRIEND]: 27, [wire.LEAVE_GROUP]: 29, [wire.KICK_MEMBER]: 31,
  [wire.DISMISS_GROUP]: 33, [wire.BLOCK]: 35, [wire.FIND_USER]: 37, [wire.PASSWORD]: 39, [wire.GROUP_USERS]: 41, [wire.CONVERSATIONS]: 43 };

/** The names of all events. */
export const eventNames = ["state", "message", "sent", "failed", "pending", "event", "read", "presence", "change", "token", "epoch"];

/** A client of alice (ID 1) on device "d" with a fake environment. */
export class World {
  clock = new Clock();
  sockets = [];
  dice = 0.5; // what random() returns
  seen = []; // [name, what] of all events except "pending"
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

  /** The latest socket. */
  get socket() {
    return this.sockets.at(-1);
  }

  /** Returns the events with a name since the last call for that name. */
  events(name) {
    const mine = this.seen.filter(([n]) => n === name).map(([, what]) => what);
    this.seen = this.seen.filter(([n]) => n !== name);
    return mine;
  }

  seqs() {
    return this.events("message").map((m) => m.seq);
  }

  /** Opens the latest connection and accepts its login. Returns the LOGIN frame. */
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

/** A push of a message from bob (ID 2) to alice. */
export const chat = (seq, more) => ({ msgid: wire.ONE_CHAT, id: 2, name: "bob", toid: 1, msg: `m${seq}`, time: seq * 1000, seq, cid: `c${seq}`, ...more });

/** Returns the current outcome of a promise: undefined (pending), ["ok", value] or ["error", error]. */
export async function outcome(promise) {
  let how;
  promise.then((value) => (how = ["ok", value]), (error) => (how = ["error", error]));
  await settle();
  return how;
}

/** Marks a promise as handled: the test checks it later. */
export function later(promise) {
  promise.catch(() => {});
  return promise;
}

/** Checks that a promise is rejected with the error name, and returns the error. */
export async function fails(promise, name) {
  const how = await outcome(promise);
  assert.ok(how, `the promise is pending, want error ${name}`);
  assert.equal(how[0], "error", `the promise was resolved, want error ${name}`);
  assert.equal(how[1].name, name, `got error ${how[1].name} (${how[1].text}), want ${name}`);
  return how[1];
}
