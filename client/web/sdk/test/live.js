// People on a real server, which the Go test that runs this has started and
// kills when told.

import assert from "node:assert/strict";
import net from "node:net";
import { Client } from "../chatd.js";
import { Relay } from "./relay.js";

const { CHATD_URL, CHATD_LIMITED_URL, CHATD_CONTROL } = process.env;

export const url = CHATD_URL;
export const limited = CHATD_LIMITED_URL;

/** Has the server killed, stopped or started: done when that is done. */
export function control(word) {
  return new Promise((resolve, reject) => {
    const [host, port] = CHATD_CONTROL.split(":");
    const socket = net.connect(port, host, () => socket.write(word + "\n"));
    let answer = "";
    socket.on("data", (bytes) => (answer += bytes));
    socket.on("error", reject);
    socket.on("close", () => (answer === "ok\n" ? resolve() : reject(new Error(`${word}: ${answer}`))));
  });
}

/** Waits until something is so. Only a test that fails waits for long. */
export async function until(what, so) {
  for (let i = 0; i < 6000; i++) {
    if (so()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  assert.fail(`waited in vain until ${what}`);
}

let people = 0;
const run = process.pid.toString(36) + Date.now().toString(36);

/** A name that nobody has. */
export const name = (who) => `${who}${run}${++people}`;

/** Everyone that a test makes; ends with it. */
export class Cast {
  #all = [];

  constructor(t) {
    t.after(() => this.#all.forEach((one) => one.close()));
  }

  /** A client that remembers what it was told. */
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

  /** A new user, logged in. */
  async user(who, config) {
    const client = this.client(config);
    client.user = name(who);
    client.id = await client.register(client.user, "secret1");
    await client.login(client.user, "secret1");
    return client;
  }

  async relay(to = url) {
    const relay = await new Relay(to).listen();
    this.#all.push(relay);
    return relay;
  }
}

/** A page of a conversation, also where the connection has just been lost. */
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

/** All of a conversation, page by page, backwards. */
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

/** Checks that what was sent is stored once, in the order in which it was
 * said and where the sender was told, and that each of the others has seen all
 * of it, once and in order. */
export async function check(sender, conversation, texts, receipts, others) {
  const all = await log(sender, conversation);
  const mine = all.filter((m) => m.from === sender.id);
  assert.deepEqual(mine.map((m) => m.text), texts);
  assert.deepEqual(mine.map((m) => m.seq), receipts.map((r) => r.seq));
  assert.deepEqual(mine.map((m) => m.time), receipts.map((r) => r.time));
  assert.deepEqual(all.map((m) => m.seq), all.map((_, i) => i + 1), "the log has no gap");
  assert.equal(sender.pending.length, 0);
  for (const { client, from } of others) {
    await until(`${client.user} has seen all`, () => client.seen.message.filter((m) => m.conversation === from).length >= texts.length);
    const seen = client.seen.message.filter((m) => m.conversation === from);
    assert.deepEqual(seen.map((m) => [m.seq, m.text]), mine.map((m) => [m.seq, m.text]));
  }
}
