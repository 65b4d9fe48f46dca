// Staying connected: logging in, coming back, keeping still when told.

import { connect } from "./connection.js";
import { ChatError, own, waitOf } from "./errors.js";
import * as op from "./wire.js";

const PROBE = 5_000; // for a sign of life when the network has changed
const REDIAL = 1_000; // a younger attempt to connect is not worth giving up
const FINAL = ["replaced", "logout", "abuse"]; // KICKs after which a client must not come back by itself

/** owner: {entered(frame), lost(), resumed(), answered(request, frame, error), received(frame)}. */
export function makeLink(core, owner) {
  const { urls, backoffMin, backoffMax, pongWait, brief } = core.config;
  let conn = null;
  /** What is wanted: {login: fields of LOGIN, once: one try, again: it was in already, resolve, reject}; null: nothing. */
  let intent = null;
  let attempt = 0; // tries since a connection held
  let next = 0; // of the URLs
  let missed = 0; // URLs in a row that can't be reached
  let retry = null; // the timer of the next try
  let asked = 0; // no try before, says the server
  let quiet = null; // {until, timer}: the server has said "too fast"
  let waiters = []; // for the end of that

  const link = {
    state: { name: "idle" },
    online: false, // logged in
    token: "",
    /** Whether the client means to be logged in, if not now, then later. */
    get stays() {
      return intent !== null && !intent.once;
    },
    get quiet() {
      return quiet !== null;
    },
    send: (frame) => conn.send(frame),
    ask: (request) => conn.call(request),
    start, stop, setToken, call, slowDown, retryNow,
    /** There is another token, for this login and those to come. */
    renew(token) {
      intent.login = { token };
      setToken(token);
    },
    close() {
      drop(own("closed", "the client is closed"));
      core.putLast("state", (link.state = { name: "ended", reason: "closed", error: null }));
    },
  };
  const ofConn = { opened, answered, received, ended, silence: () => (quiet ? Math.max(quiet.until - core.now(), 1) : 0) };
  return link;

  function tell(state) {
    core.put("state", (link.state = state));
  }

  /** Logs in; resolves when that is done. */
  function start(login, once) {
    return new Promise((resolve, reject) => {
      if (core.closed) return reject(own("closed", "the client is closed"));
      if (link.online) return reject(new ChatError(12, "loggedIn", "already logged in"));
      drop(own("aborted", "another login has begun"));
      intent = { login, once, resolve, reject };
      attempt = missed = 0;
      dial();
    });
  }

  function dial() {
    retry = core.cancel(retry);
    tell({ name: "connecting", attempt });
    conn = connect(core, urls[next++ % urls.length], ofConn);
  }

  /** Lets go of all that is under way; nobody hears of it but who waits. */
  function drop(error) {
    const [was, wanted] = [conn, intent];
    conn = intent = null;
    retry = core.cancel(retry);
    leave();
    was?.end(error);
    wanted?.reject(error);
  }

  function leave() {
    link.online = false;
    hush();
    owner.lost();
  }

  /** The end, as far as this client goes by itself. */
  function stop(reason, error) {
    drop(error);
    if (["token", "logout", "loggedOut"].includes(reason)) setToken("");
    tell({ name: "ended", reason, error: reason === "loggedOut" ? null : error });
  }

  function setToken(token) {
    if (token === link.token) return;
    link.token = token;
    const { id: user = 0, name = "", device = "" } = core.me ?? {};
    core.put("token", { token, user, name, device });
  }

  // --- of the connection

  function opened(of) {
    missed = 0;
    of.call({ msgid: op.LOGIN, ...intent.login, ack: true, ...(brief && { brief }) }).catch(() => {}); // answered and ended see to it
  }

  function ended(of, error) {
    if (of !== conn) return;
    conn = null;
    leave();
    if (!intent) return;
    if (FINAL.includes(of.kick)) return stop(of.kick, error);
    if (!of.opened && ++missed % urls.length) return dial(); // there are others
    if (intent.once) return stop("failed", error);
    if (of.opened && core.now() - of.since > backoffMax) attempt = 0; // it was no flapping
    // Random below a bound that doubles with each try: clients that lost their
    // server together don't come back together.
    const retryIn = core.spread(error.retryAfter, error.retryAfter / 4) + core.spread(0, Math.min(backoffMax, backoffMin * 2 ** Math.min(attempt, 30)));
    asked = core.now() + error.retryAfter;
    retry = core.after(retryIn, dial);
    tell({ name: "offline", error, retryAt: core.now() + retryIn, retryIn, attempt: attempt++ });
  }

  function answered(of, request, frame, error) {
    if (request.msgid !== op.LOGIN) {
      // A password is what somebody has just typed: that waits for nobody.
      if (frame.errno === op.TOO_FAST && request.msgid !== op.PASSWORD) slowDown(frame);
      return owner.answered(request, frame, error);
    }
    const { login, once, again, resolve } = intent;
    if (!error) {
      if (again) core.stats.reconnects++;
      of.loggedIn = link.online = true;
      intent = { login: { token: frame.token }, again: true, resolve, reject() {} };
      tell({ name: "online" });
      owner.entered(frame);
      setToken(frame.token);
      resolve();
    } else if (error.errno === op.REFUSED) stop(login.token ? "token" : "password", error);
    else if (once) stop("failed", error);
    else of.end(error);
  }

  function received(of, frame) {
    if (frame.msgid !== op.ERROR || frame.rid !== undefined) return owner.received(frame);
    if (frame.errno === op.TOO_FAST) slowDown(frame); // of an event or a PING
    else core.log("warn", "the server refused", frame.errmsg);
  }

  // --- asking

  /** Sends a request of who is logged in, again where the server says that it
   * was too fast (patient). It is on its way when call returns, if it may be. */
  async function call(request, patient = true) {
    for (;;) {
      if (core.closed) throw own("closed", "the client is closed");
      if (!link.online) throw link.stays ? own("notConnected", "there is no connection") : new ChatError(3, "notLoggedIn", "not logged in");
      if (quiet) {
        await new Promise((resolve) => waiters.push(resolve));
        continue;
      }
      try {
        return await conn.call(request);
      } catch (error) {
        if (error.errno !== op.TOO_FAST || !patient) throw error;
      }
    }
  }

  /** Keeps all from being sent for as long as the server asks, and a little
   * longer; what it refuses meanwhile, because it was under way, says no more. */
  function slowDown(frame) {
    const wait = waitOf(frame);
    const until = core.now() + wait;
    if (quiet?.until >= until) return;
    if (quiet) core.cancel(quiet.timer);
    quiet = { until, timer: core.after(core.spread(wait, wait / 4 + 60), hush) };
  }

  function hush() {
    if (!quiet) return;
    core.cancel(quiet.timer);
    quiet = null;
    if (link.online) owner.resumed(); // what has waited for longest goes first
    for (const done of waiters.splice(0)) done();
  }

  /** The network has changed, or somebody can't wait. */
  function retryNow() {
    if (link.online) {
      if (!quiet) conn.probe(Math.min(PROBE, pongWait));
    } else if (retry !== null) {
      if (core.now() < asked) return;
      attempt = 0; // where the network isn't quite there yet, it will be soon
      dial();
    } else if (conn && !conn.opened && core.now() - conn.since > REDIAL) {
      // It may have begun without a network, and would wait for its end.
      const old = conn;
      conn = null;
      old.end(own("aborted", "tried anew"));
      dial();
    }
  }
}
