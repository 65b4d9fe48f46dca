// Logs in, reconnects, and waits out rate limits.

import { connect } from "./connection.js";
import { ChatError, closed, own, waitOf } from "./errors.js";
import * as op from "./wire.js";

const PROBE = 5_000; // how long to wait for an answer to PING when the network has changed, ms

/** Makes the part of a client that keeps it logged in.
 * @param owner callbacks: {entered(frame), lost(), resumed(), answered(request, frame, error), received(frame)}. */
export function makeLink(core, owner) {
  const { urls, backoffMin, backoffMax, pongWait, brief } = core.config;
  let conn = null;
  /** {login: fields of LOGIN, once: don't retry, again: it has been logged in before, resolve, reject};
   * null if the client isn't meant to be logged in. */
  let intent = null;
  let attempt = 0; // connection attempts since the last stable connection
  let next = 0; // index of the next URL
  let missed = 0; // consecutive URLs that couldn't be reached
  let retry = null; // timer of the next attempt
  let asked = 0; // the server asked not to reconnect before this time
  let quiet = null; // {until, timer} while rate limited (errno 9)
  let waiters = []; // callbacks for the end of quiet
  let late = 0; // until then, a login that was given up may still take effect

  const link = {
    state: { name: "idle" },
    online: false, // logged in
    token: "",
    /** Whether the client is logged in or will retry until it is. */
    get stays() {
      return intent !== null && !intent.once;
    },
    get quiet() {
      return quiet !== null;
    },
    send: (frame) => conn.send(frame),
    ask: (request) => conn.call(request),
    start, stop, setToken, call, slowDown, retryNow,
    /** Replaces the token for future logins. */
    renew(token) {
      intent.login = { token };
      setToken(token);
    },
    close() {
      drop(closed());
      core.putLast("state", (link.state = { name: "ended", reason: "closed", error: null }));
    },
  };
  const ofConn = { opened, answered, received, ended, silence: () => (quiet ? Math.max(quiet.until - core.now(), 1) : 0) };
  return link;

  function tell(state) {
    core.put("state", (link.state = state));
  }

  /** Logs in. once: give up after the first failure. */
  function start(login, once) {
    return new Promise((resolve, reject) => {
      if (core.closed) return reject(closed());
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

  /** Closes the connection and forgets the login. Only the promises of start and
   * call are rejected; no event is sent. */
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
    endQuiet();
    owner.lost();
  }

  /** Stops reconnecting: the state becomes "ended". */
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

  // --- callbacks of the connection

  function opened(of) {
    missed = 0;
    of.call({ msgid: op.LOGIN, ...intent.login, ack: true, ...(brief && { brief }) }).catch(() => {}); // answered or ended handles it
  }

  function ended(of, error) {
    if (of !== conn) return;
    conn = null;
    leave();
    if (!intent) return;
    // A login that was given up may replace a later one, but only once.
    if (of.kick === "replaced" && core.now() < late) late = 0;
    else if (["replaced", "logout", "abuse"].includes(of.kick)) return stop(of.kick, error);
    if (of.opened && !of.loggedIn) late = core.now() + 60_000;
    if (!of.opened && ++missed % urls.length) return dial(); // try the next URL
    if (intent.once) return stop("failed", error);
    if (of.opened && core.now() - of.since > backoffMax) attempt = 0; // the connection was stable
    // A random delay below a doubling bound spreads the reconnects of clients that
    // lost the same server.
    const retryIn = core.spread(error.retryAfter, error.retryAfter / 4) + core.spread(0, Math.min(backoffMax, backoffMin * 2 ** attempt));
    asked = core.now() + error.retryAfter;
    retry = core.after(retryIn, dial);
    tell({ name: "offline", error, retryAt: core.now() + retryIn, retryIn, attempt: attempt++ });
  }

  function answered(of, request, frame, error) {
    if (request.msgid !== op.LOGIN) {
      // A password change is reported as refused, because a person is waiting.
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
    if (frame.errno === op.TOO_FAST) slowDown(frame); // the answer to an event or a PING
    else core.log("warn", "the server refused a frame", frame.errmsg);
  }

  // --- requests

  /** Sends a request that needs a login. patient: resend it if the server answers
   * errno 9 (too fast). Unless rate limited, it is sent before call returns. */
  async function call(request, patient = true) {
    for (;;) {
      if (core.closed) throw closed();
      if (!link.online) throw link.stays ? own("notConnected", "not connected") : new ChatError(3, "notLoggedIn", "not logged in");
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

  /** Stops sending for as long as the server asks, and a little longer. Further
   * refusals, of frames already sent, extend the wait only if they ask for more. */
  function slowDown(frame) {
    const wait = waitOf(frame);
    const until = core.now() + wait;
    if (quiet?.until >= until) return;
    core.cancel(quiet?.timer);
    quiet = { until, timer: core.after(core.spread(wait, wait / 4 + 60), endQuiet) };
  }

  /** Ends the wait that slowDown began. */
  function endQuiet() {
    if (!quiet) return;
    core.cancel(quiet.timer);
    quiet = null;
    if (link.online) owner.resumed(); // messages and receipts before new requests
    for (const done of waiters.splice(0)) done();
  }

  /** Checks the connection, or reconnects now. */
  function retryNow() {
    if (link.online) {
      if (!quiet) conn.probe(Math.min(PROBE, pongWait));
    } else if (retry !== null) {
      if (core.now() < asked) return;
      attempt = 0; // if it fails, retry soon: the network may need another moment
      dial();
    } else if (conn && !conn.opened && core.now() - conn.since > 1_000) {
      // The attempt may have begun without a network, and would only time out. A
      // younger one may still succeed.
      const old = conn;
      conn = null;
      old.end(own("aborted", "restarted the connection attempt"));
      dial();
    }
  }
}
