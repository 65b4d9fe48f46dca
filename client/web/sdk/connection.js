// One WebSocket, from the connection attempt until it is closed.

import { ChatError, own, refusal, waitOf } from "./errors.js";
import * as op from "./wire.js";

const MAX_CALLS = 1024; // requests without an answer
const LATE = 5_000; // a timer this late was delayed by sleep or by a browser that saves power

/** Connects to url.
 * @param owner callbacks: {opened(conn), answered(conn, request, frame, error), received(conn, frame), ended(conn, error),
 * silence()}. silence returns for how many ms nothing may be sent, because of a rate limit. */
export function connect(core, url, owner) {
  const { dialTimeout, loginTimeout, pingEvery, pongWait, WebSocket } = core.config;
  const calls = new Map(); // unanswered requests, by rid
  let ws = null;
  let turnedAway = null; // the error if the server refused the connection
  let pingTimer = null;
  let pongTimer = null;
  let heard = false; // a frame has arrived since the last PING
  const lost = (text) => own("notConnected", text);
  const conn = { opened: false, loggedIn: false, kick: "", since: core.now(), send, call, end, probe };

  // The dial timeout; once open, the timeout of the first answer.
  let timer = core.after(dialTimeout, () => end(lost(`connecting to ${url} timed out`)));
  let ended = false;
  try {
    ws = new WebSocket(url);
    ws.onopen = () => core.enter(open);
    ws.onmessage = ({ data }) => core.enter(() => message(data));
    // An error is followed by close, except in some versions of Node.
    ws.onerror = ws.onclose = () => core.enter(() => end(lost(conn.opened ? `the connection to ${url} was lost` : `couldn't connect to ${url}`)));
  } catch (error) {
    core.cancel(timer);
    timer = core.after(0, () => end(lost(`couldn't connect to ${url}: ${error?.message}`)));
  }
  return conn;

  function open() {
    conn.opened = true;
    conn.since = core.now();
    core.cancel(timer);
    timer = core.after(loginTimeout, () => end(own("timeout", "the server doesn't answer")));
    pingLater(pingEvery);
    owner.opened(conn);
  }

  function message(data) {
    heard = true;
    try {
      take(JSON.parse(data));
    } catch (error) {
      // If it was a message, SYNC requests it again.
      core.stats.unreadable++;
      core.log("warn", "skipped an invalid frame from the server", error);
    }
  }

  function take(frame) {
    if (typeof frame.msgid !== "number") throw new Error("the frame has no msgid");
    if (frame.msgid === op.PONG) return;
    if (frame.msgid === op.PING) return send({ msgid: op.PONG });
    if (frame.msgid === op.KICK) {
      conn.kick = String(frame.reason);
      return end(new ChatError(0, "kicked", frame.errmsg || `the server closed the connection: ${conn.kick}`, waitOf(frame)));
    }
    const error = refusal(frame);
    const waits = calls.get(frame.rid);
    if (waits) {
      calls.delete(frame.rid);
      timer = core.cancel(timer);
      if (error) waits.reject(error);
      else waits.resolve(frame);
      owner.answered(conn, waits.request, frame, error); // runs before the caller resumes
    } else if (frame.msgid === op.ERROR && frame.rid === undefined && !conn.loggedIn) {
      turnedAway = error;
    } else {
      owner.received(conn, frame);
    }
  }

  /** Sends a frame if the connection is open. If it isn't, owner.ended was or
   * will be called. */
  function send(frame) {
    if (!ended && ws.readyState === 1) ws.send(JSON.stringify(frame));
  }

  /** Sends a request and resolves to the frame of its answer. */
  function call(request) {
    return new Promise((resolve, reject) => {
      if (ended) return reject(lost("there is no connection"));
      if (calls.size >= MAX_CALLS) return reject(own("busy", "too many unanswered requests"));
      const rid = core.rid();
      calls.set(rid, { request, resolve, reject });
      send({ ...request, rid });
    });
  }

  function pingLater(ms) {
    pingTimer = core.after(ms, () => {
      // While rate limited, delay the PING, but not so long that the connection
      // could be dead unnoticed.
      const wait = owner.silence();
      if (wait > 0 && wait < pingEvery / 4) return pingLater(wait);
      pingLater(pingEvery);
      if (pongTimer === null) ask(pongWait, 1);
    });
  }

  /** Sends a PING now, unless one is unanswered. */
  function probe(ms) {
    if (pongTimer !== null && !heard) return;
    core.cancel(pongTimer);
    ask(ms, 1);
  }

  /** Sends a PING and closes the connection if nothing arrives within ms. If the
   * timer fires late, it sends another PING instead, at most again times. */
  function ask(ms, again) {
    if (!conn.opened) return;
    heard = false;
    const due = core.now() + ms;
    const left = ws.bufferedAmount;
    send({ msgid: op.PING });
    pongTimer = core.after(ms, () => {
      pongTimer = null;
      if (heard) return;
      if (ws.bufferedAmount > 0 && ws.bufferedAmount < left) ask(ms, again); // the PING is still behind other data being sent
      else if (again > 0 && core.now() > due + LATE) ask(ms, again - 1);
      else end(lost("no answer to a PING"));
    });
  }

  /** Closes the connection without waiting for the server. */
  function end(error) {
    if (ended) return;
    ended = true;
    for (const t of [timer, pingTimer, pongTimer]) core.cancel(t);
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      ws.onerror = () => {}; // closing a socket that is still connecting causes an error event; without a handler, ws throws
      ws.close();
    }
    error = turnedAway ?? error;
    for (const { reject } of calls.values()) reject(error);
    calls.clear();
    owner.ended(conn, error);
  }
}
