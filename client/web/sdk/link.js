// Staying connected: connecting, logging in, coming back, keeping still when told.

import { Connection } from "./connection.js";
import { ChatError, own, refusal, waitOf } from "./errors.js";
import * as wire from "./wire.js";

const PROBE = 5_000; // for a sign of life when the network has changed
const REDIAL = 1_000; // a younger attempt to connect is not worth giving up

/** KICKs after which a client must not come back by itself. */
const final = new Set(["replaced", "logout", "abuse"]);

export class Link {
  state = { name: "idle" };
  conn = null;
  online = false; // conn is logged in
  token = "";
  #core;
  #owner;
  /** What the client wants: {login: the fields of LOGIN, once: one try, resolve, reject}; null: nothing. */
  #intent = null;
  #attempt = 0; // tries since a connection held
  #next = 0; // the next of the URLs
  #missed = 0; // how many of them, in a row, could not be reached
  #retry = null; // the timer of the next try
  #asked = 0; // no try before, says the server
  #timeout = null; // of the login under way
  #quiet = null; // {until, timer}: the server has said "too fast"
  #waiters = []; // who waits for that to end

  /** owner: {entered(frame), lost(), resumed(), answered(call, frame), received(frame), ended(reason)}. */
  constructor(core, owner) {
    this.#core = core;
    this.#owner = owner;
  }

  /** Whether the client means to be logged in, if not now, then later. */
  get stays() {
    return this.#intent !== null && !this.#intent.once;
  }

  /** Logs in; resolves when that is done. */
  start(login, once, signal) {
    return new Promise((resolve, reject) => {
      if (this.#core.closed) return reject(own("closed", "the client is closed"));
      if (signal?.aborted) return reject(own("aborted", "nobody waits any more"));
      if (this.online) return reject(new ChatError(12, "loggedIn", "already logged in"));
      this.#drop(own("aborted", "another login has begun"));
      const abort = () => this.#intent === intent && this.#core.enter(() => this.stop("failed", own("aborted", "nobody waits any more")));
      signal?.addEventListener("abort", abort);
      const settle = (how) => (value) => {
        signal?.removeEventListener("abort", abort);
        how(value);
      };
      const intent = (this.#intent = { login, once, resolve: settle(resolve), reject: settle(reject) });
      this.#attempt = 0;
      this.#asked = 0;
      this.#dial();
    });
  }

  #tell(state) {
    this.state = state;
    this.#core.events.put("state", state);
  }

  #dial() {
    const { urls } = this.#core.config;
    this.#retry = this.#core.cancel(this.#retry);
    this.#tell({ name: "connecting", attempt: this.#attempt });
    this.conn = new Connection(this.#core, urls[this.#next++ % urls.length], this);
  }

  /** Lets go of all that is under way; nobody hears of it but who waits. */
  #drop(error) {
    const { conn } = this;
    const intent = this.#intent;
    this.#intent = this.conn = null;
    this.#retry = this.#core.cancel(this.#retry);
    this.#leave();
    conn?.end(error);
    intent?.reject(error);
  }

  #leave() {
    this.online = false;
    this.#timeout = this.#core.cancel(this.#timeout);
    this.#hush();
    this.#owner.lost();
  }

  /** Ends for good, as far as this client goes by itself. */
  stop(reason, error) {
    this.#drop(error ?? own("loggedOut", "logged out"));
    if (reason === "token" || reason === "logout" || reason === "loggedOut") this.setToken("");
    this.#tell({ name: "ended", reason, error });
  }

  setToken(token) {
    if (token === this.token) return;
    this.token = token;
    const { id = 0, name = "", device = "" } = this.#core.me ?? {};
    this.#core.events.put("token", { token, user: id, name, device });
  }

  // --- of Connection

  opened(conn) {
    if (conn !== this.conn) return;
    this.#missed = 0;
    const { config } = this.#core;
    this.#timeout = this.#core.after(config.loginTimeout, () => conn.end(own("timeout", "the server doesn't answer the login")));
    const login = { msgid: wire.LOGIN, ...this.#intent.login, ack: true };
    if (config.brief) login.brief = true;
    conn.call(login).catch(() => {}); // #answer and ended see to it
  }

  ended(conn, error) {
    if (conn !== this.conn) return;
    const core = this.#core;
    const { urls, backoffMax } = core.config;
    this.conn = null;
    this.#leave();
    const intent = this.#intent;
    if (!intent) return;
    if (conn.turnedAway) error = conn.turnedAway;
    if (final.has(conn.kick)) return this.stop(conn.kick, error);
    if (!conn.opened && ++this.#missed % urls.length !== 0) return this.#dial(); // there are others
    if (intent.once) return this.stop("failed", error);
    if (conn.opened && core.now() - conn.since > backoffMax) this.#attempt = 0; // it was no flapping
    const wait = core.spread(error.retryAfter, error.retryAfter / 4) + this.#backoff();
    this.#asked = core.now() + error.retryAfter;
    this.#retry = core.after(wait, () => this.#dial());
    this.#tell({ name: "offline", error, retryAt: core.now() + wait, retryIn: wait, attempt: this.#attempt++ });
  }

  /** A random wait below a bound that doubles with each try: clients that lost
   * their server together don't come back together. */
  #backoff() {
    const { backoffMin, backoffMax, random } = this.#core.config;
    return random() * Math.min(backoffMax, backoffMin * 2 ** Math.min(this.#attempt, 30));
  }

  silence() {
    return this.#quiet ? Math.max(this.#quiet.until - this.#core.now(), 1) : 0;
  }

  frame(conn, frame) {
    switch (frame.msgid) {
      case wire.PONG:
        return;
      case wire.PING:
        return conn.send({ msgid: wire.PONG });
      case wire.KICK:
        conn.kick = String(frame.reason);
        return conn.end(new ChatError(0, "kicked", frame.errmsg || `the server has ended the connection: ${frame.reason}`, waitOf(frame)));
    }
    const call = frame.rid === undefined ? undefined : conn.calls.get(frame.rid);
    if (call) return this.#answer(conn, call, frame);
    if (frame.msgid === wire.ERROR && frame.rid === undefined) {
      // Of an event or a PING, or of the connection as such.
      if (frame.errno === wire.TOO_FAST && conn.loggedIn) this.slowDown(frame);
      else if (frame.errno === wire.TOO_FAST) conn.turnedAway = refusal(frame);
      else this.#core.log("warn", "the server refused", refusal(frame));
      return;
    }
    this.#owner.received(frame);
  }

  #answer(conn, call, frame) {
    conn.calls.delete(frame.rid);
    const error = refusal(frame);
    if (call.frame.msgid === wire.LOGIN) {
      this.#timeout = this.#core.cancel(this.#timeout);
      if (error) this.#refused(conn, error);
      else this.#entered(conn, frame);
      return;
    }
    // A password is what somebody has just typed: that waits for nobody.
    if (frame.errno === wire.TOO_FAST && call.frame.msgid !== wire.PASSWORD) this.slowDown(frame);
    this.#owner.answered(call.frame, frame, error);
    if (error) call.reject(error);
    else call.resolve(frame);
  }

  #refused(conn, error) {
    const { login, once } = this.#intent;
    if (error.errno === wire.REFUSED) this.stop(login.token ? "token" : "password", error);
    else if (once) this.stop("failed", error);
    else conn.end(error);
  }

  #entered(conn, frame) {
    const intent = this.#intent;
    if (this.#attempt > 0) this.#core.stats.reconnects++;
    conn.loggedIn = this.online = true;
    this.#intent = { login: { token: frame.token }, once: false, resolve() {}, reject() {} };
    this.#tell({ name: "online" });
    this.#owner.entered(frame);
    this.setToken(frame.token);
    intent.resolve();
  }

  /** There is another token, for this session and those to come. */
  renew(token) {
    if (this.#intent) this.#intent.login = { token };
    this.setToken(token);
  }

  // --- asking

  /** Sends a request of who is logged in, as often as the server says that it
   * was too fast (patient). It is on its way when call returns, if it may be. */
  async call(frame, signal, patient = true) {
    for (;;) {
      this.#ready();
      if (this.#quiet) {
        await this.#calm(signal);
        continue;
      }
      try {
        return await this.conn.call(frame, signal);
      } catch (error) {
        if (error.errno !== wire.TOO_FAST || !patient) throw error;
      }
    }
  }

  #ready() {
    if (this.#core.closed) throw own("closed", "the client is closed");
    if (this.online) return;
    throw this.stays ? own("notConnected", "there is no connection") : new ChatError(3, "notLoggedIn", "not logged in");
  }

  #calm(signal) {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiters = this.#waiters.filter((w) => w !== done);
        reject(own("aborted", "nobody waits any more"));
      };
      const done = () => {
        signal?.removeEventListener("abort", abort);
        resolve();
      };
      if (signal?.aborted) return abort();
      signal?.addEventListener("abort", abort);
      this.#waiters.push(done);
    });
  }

  get quiet() {
    return this.#quiet !== null;
  }

  /** Keeps all from being sent for as long as the server asks, and a little
   * longer; what it refuses meanwhile, because it was under way, says no more. */
  slowDown(frame) {
    const core = this.#core;
    const wait = waitOf(frame);
    const until = core.now() + wait;
    if (this.#quiet && this.#quiet.until >= until) return;
    if (this.#quiet) core.cancel(this.#quiet.timer);
    this.#quiet = { until, timer: core.after(core.spread(wait, wait / 4 + 60), () => this.#hush()) };
  }

  #hush() {
    if (!this.#quiet) return;
    this.#core.cancel(this.#quiet.timer);
    this.#quiet = null;
    const waiters = this.#waiters;
    this.#waiters = [];
    if (this.online) this.#owner.resumed(); // what has waited for longest goes first
    for (const done of waiters) done();
  }

  // --- the network

  retryNow() {
    const core = this.#core;
    if (this.online) return this.conn.probe(Math.min(PROBE, core.config.pongWait));
    if (this.#retry !== null && core.now() >= this.#asked) return this.#dial();
    const { conn } = this;
    if (conn && !conn.opened && core.now() - conn.since > REDIAL) {
      // It may have begun without a network, and would wait for its end.
      this.conn = null;
      conn.end(own("aborted", "tried anew"));
      this.#dial();
    }
  }

  close() {
    this.#drop(own("closed", "the client is closed"));
    this.#core.events.close("state", (this.state = { name: "ended", reason: "closed", error: null }));
  }
}
