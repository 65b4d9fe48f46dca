// One WebSocket, from the attempt to connect to its end.

import { own } from "./errors.js";
import { PING } from "./wire.js";

const MAX_CALLS = 1024; // requests without an answer
const LATE = 5_000; // a timer that comes so much later was held up, by sleep or a browser that saves power
const OPEN = 1;

export class Connection {
  opened = false;
  ended = false;
  loggedIn = false;
  kick = ""; // the reason that a KICK gave
  turnedAway = null; // why the server doesn't want the connection at all
  calls = new Map(); // requests that wait, by rid
  #core;
  #owner;
  #ws = null;
  #dialing;
  #ping = null; // the timer of the next PING
  #pong = null; // the timer of the answer to the last one
  #heard = false; // something came since the PING
  #left = 0; // what the browser had not sent yet at that time

  /** owner: {opened(connection), frame(connection, frame), ended(connection, error), silence()}. */
  constructor(core, url, owner) {
    this.#core = core;
    this.#owner = owner;
    this.since = core.now();
    this.#dialing = core.after(core.config.dialTimeout, () => this.end(own("notConnected", `${url} doesn't answer`)));
    try {
      const ws = (this.#ws = new core.config.WebSocket(url));
      ws.onopen = () => core.enter(() => this.#open());
      ws.onmessage = (event) => core.enter(() => this.#message(event.data));
      // After an error comes the close, or, in some versions of Node, nothing.
      ws.onerror = ws.onclose = () => core.enter(() => this.end(own("notConnected",
        this.opened ? `the connection to ${url} was lost` : `${url} can't be reached`)));
    } catch (error) {
      core.cancel(this.#dialing);
      this.#dialing = core.after(0, () => this.end(own("notConnected", `${url}: ${error?.message}`)));
    }
  }

  #open() {
    if (this.ended) return;
    this.#dialing = this.#core.cancel(this.#dialing);
    this.opened = true;
    this.since = this.#core.now();
    this.#pingLater(this.#core.config.pingEvery);
    this.#owner.opened(this);
  }

  #message(data) {
    if (this.ended) return;
    this.#heard = true;
    let frame = null;
    try {
      frame = JSON.parse(data);
      if (typeof frame.msgid !== "number") throw new Error("it has no msgid");
      this.#owner.frame(this, frame);
    } catch (error) {
      // One message lost is a hole, which SYNC fills.
      this.#core.stats.unreadable++;
      this.#core.log("warn", "a frame of the server is not readable", error);
    }
  }

  /** Sends a frame, if it can be. */
  send(frame) {
    if (this.ended || this.#ws.readyState !== OPEN) return; // the end is about to be told
    this.#ws.send(JSON.stringify(frame));
  }

  /** Sends a request; the promise is for its answer, which is a frame. */
  call(frame, signal) {
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(own("notConnected", "there is no connection"));
      if (this.calls.size >= MAX_CALLS) return reject(own("busy", "too many requests wait for an answer"));
      const rid = this.#core.rid();
      // An answer that nobody waits for any more still tells what has changed.
      const abort = () => reject(own("aborted", "nobody waits any more"));
      const settle = (how) => (value) => {
        signal?.removeEventListener("abort", abort);
        how(value);
      };
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort);
      this.calls.set(rid, { frame, resolve: settle(resolve), reject: settle(reject) });
      this.send({ ...frame, rid });
    });
  }

  /** Asks for a sign of life, which has to come within ms. */
  probe(ms) {
    if (!this.opened || this.#pong !== null) return;
    this.#ask(ms, 1);
  }

  #pingLater(ms) {
    this.#ping = this.#core.after(ms, () => {
      // A PING may wait for a server that wants silence, but not so long that
      // the connection seems dead.
      const { pingEvery, pongWait } = this.#core.config;
      const wait = this.#owner.silence();
      if (wait > 0 && wait < pingEvery / 4) return this.#pingLater(wait);
      this.#pingLater(pingEvery);
      if (this.#pong === null) this.#ask(pongWait, 1);
    });
  }

  /** again: how often one more PING is worth it where the timer was held up. */
  #ask(ms, again) {
    this.#heard = false;
    this.#left = this.#ws.bufferedAmount;
    this.send({ msgid: PING });
    const due = this.#core.now() + ms;
    this.#pong = this.#core.after(ms, () => {
      this.#pong = null;
      const left = this.#ws.bufferedAmount;
      // What takes long to send has held up the PING as well.
      const slow = left > 0 && left < this.#left;
      if (this.#heard) return;
      if (slow) return this.#ask(ms, again);
      if (again > 0 && this.#core.now() > due + LATE) return this.#ask(ms, again - 1);
      this.end(own("notConnected", "the server is silent"));
    });
  }

  /** Ends the connection: at once, for this side. */
  end(error) {
    if (this.ended) return;
    this.ended = true;
    this.#dialing = this.#core.cancel(this.#dialing);
    this.#ping = this.#core.cancel(this.#ping);
    this.#pong = this.#core.cancel(this.#pong);
    const ws = this.#ws;
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      ws.onerror = () => {}; // an attempt that is given up may be told there, and throw where nobody hears it
      try {
        ws.close();
      } catch (error) {
        this.#core.log("debug", "closing a connection failed", error);
      }
    }
    const calls = [...this.calls.values()];
    this.calls.clear();
    for (const call of calls) call.reject(error);
    this.#owner.ended(this, error);
  }
}
