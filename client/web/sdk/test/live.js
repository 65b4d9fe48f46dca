// Clients of a real server, which sdk_test.go starts, and which it kills, stops
// and restarts on request.

import assert from "node:assert/strict";
import net from "node:net";
import { Client } from "../chatd.js";
import { Relay } from "./relay.js";

const { CHATD_URL, CHATD_LIMITED_URL, CHATD_CONTROL } = process.env;

export const url = CHATD_URL;
export const limited = CHATD_LIMITED_URL;

/** Has the server killed, stopped or started. command: "kill", "stop" or "start". Resolves when it is done. */
export function control(command) {
  return new Promise((resolve, reject) => {
    const [host, port] = CHATD_CONTROL.split(":");
    const socket = net.connect(port, host, () => socket.write(command + "\n"));
    let answer = "";
    socket.on("data", (bytes) => (answer += bytes));
    socket.on("error", reject);
    socket.on("close", () => (answer === "ok\n" ? resolve() : reject(new Error(`${command} the server: ${answer}`))));
  });
}

/** Waits up to a minute until a condition is true. */
export async function until(what, condition) {
  for (let i = 0; i < 6000; i++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`timed out waiting until ${what}`);
}

let people = 0;
const run = process.pid.toString(36) + Date.now().toString(36);

/** Returns an unused user name. */
export const name = (who) => `${who}${run}${++people}`;

/** The clients and relays of a test, which are closed at its end. */
export class Cast {
  #all = [];

  constructor(t) {
    t.after(() => this.#all.forEach((one) => one.close()));
  }

  /** Returns a client that records its events and log lines. */
  client(config = {}) {
    const client = new Client({ url, backoffMin: 20, backoffMax: 300, log: (level, text, detail) => level !== "debug" && client.logged.push([text, detail]), ...config });
    client.logged = [];
    client.seen = {};
    for (const name of ["state", "message", "sent", "failed", "event", "read", "presence", "change", "token"]) {
      client.seen[name] = [];
      client.on(name, (what) => client.seen[name].push(what));
    }
    this.#all.push(client);
    return client;
  }

  /** Returns the client of a new user, logged in. */
  async user(who, config) {
    const client = this.client(config);
    client.user = name(who);
    client.id = await client.register(client.user, "secret-1");
    await client.login(client.user, "secret-1");
    return client;
  }

  async relay(to = url) {
    const relay = await new Relay(to).listen();
    this.#all.push(relay);
    return relay;
  }
}

/** Returns a page of a conversation, retrying if the connection is lost. */
async function page(client, conversation, options) {
  for (;;) {
    await until(`${client.user} is online`, () => client.state.name === "online");
    try {
      return await client.history(conversation, options);
    } catch (error) {
      if (error.name !== "notConnected") throw error;
    }
  }
}

/** Returns all messages of a conversation, requested page by page, the last page first. */
export async function log(client, conversation, limit = 200) {
  let all = [];
  for (let more = true; more; ) {
    const p = await page(client, conversation, { before: all[0]?.seq, limit });
    more = p.more;
    assert.ok(p.messages.length <= limit);
    all = [...p.messages, ...all];
  }
  return all;
}

/** Checks that the texts are stored once, in the order in which sender sent
 * them, with the seq and time of its promises, and that each of the others has
 * received all of them, once and in order. */
export async function check(sender, conversation, texts, receipts, others) {
  const all = await log(sender, conversation);
  const mine = all.filter((m) => m.from === sender.id);
  assert.deepEqual(mine.map((m) => m.text), texts);
  assert.deepEqual(mine.map((m) => m.seq), receipts.map((r) => r.seq));
  assert.deepEqual(mine.map((m) => m.time), receipts.map((r) => r.time));
  assert.deepEqual(all.map((m) => m.seq), all.map((_, i) => i + 1), "seqs in the history, want no gap");
  assert.equal(sender.pending.length, 0);
  for (const { client, from } of others) {
    await until(`${client.user} has received all messages`, () => client.seen.message.filter((m) => m.conversation === from).length >= texts.length);
    const seen = client.seen.message.filter((m) => m.conversation === from);
    assert.deepEqual(seen.map((m) => [m.seq, m.text]), mine.map((m) => [m.seq, m.text]));
  }
}
