// One WebSocket, from the attempt to connect to its end.

import { ChatError, own, refusal, waitOf } from "./errors.js";
import * as op from "./wire.js";

const MAX_CALLS = 1024; // requests without an answer
const LATE = 5_000; // a timer that comes so much later was held up, by sleep or by a browser that saves power

/** owner: {opened(conn), answered(conn, request, frame, error), received(conn, frame), ended(conn, error), silence()}. */
export function connect(core, url, owner) {
  const { dialTimeout, loginTimeout, pingEvery, pongWait, WebSocket } = core.config;
  const calls = new Map(); // requests that wait, by rid
  let ws = null;
  let turnedAway = null; // why the server wants no connection at all
  let pingTimer = null;
  let pongTimer = null;
  let heard = false; // something came since the last PING
  const lost = (text) => own("notConnected", text);
  const conn = { opened: false, loggedIn: false, kick: "", since: core.now(), send, call, end, probe };

  // Until it is open; then until the first answer.
  let timer = core.after(dialTimeout, () => end(lost(`${url} doesn't answer`)));
  let ended = false;
  try {
    ws = new WebSocket(url);
    ws.onopen = () => core.enter(open);
    ws.onmessage = ({ data }) => core.enter(() => message(data));
    // After an error comes the close, or, in some versions of Node, nothing.
    ws.onerror = ws.onclose = () => core.enter(() => end(lost(conn.opened ? `the connection to ${url} was lost` : `${url} can't be reached`)));
  } catch (error) {
    core.cancel(timer);
    timer = core.after(0, () => end(lost(`${url}: ${error?.message}`)));
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
      // One message lost is a hole, which SYNC fills.
      core.stats.unreadable++;
      core.log("warn", "a frame of the server is not readable", error);
    }
  }

  function take(frame) {
    if (typeof frame.msgid !== "number") throw new Error("it has no msgid");
    if (frame.msgid === op.PONG) return;
    if (frame.msgid === op.PING) return send({ msgid: op.PONG });
    if (frame.msgid === op.KICK) {
      conn.kick = String(frame.reason);
      return end(new ChatError(0, "kicked", frame.errmsg || `the server has ended the connection: ${conn.kick}`, waitOf(frame)));
    }
    const error = refusal(frame);
    const waits = calls.get(frame.rid);
    if (waits) {
      calls.delete(frame.rid);
      timer = core.cancel(timer);
      if (error) waits.reject(error);
      else waits.resolve(frame);
      owner.answered(conn, waits.request, frame, error); // before whoever waits goes on
    } else if (frame.msgid === op.ERROR && frame.rid === undefined && !conn.loggedIn) {
      turnedAway = error;
    } else {
      owner.received(conn, frame);
    }
  }

  /** Sends a frame, if it can be: where not, the end is about to be told. */
  function send(frame) {
    if (!ended && ws.readyState === 1) ws.send(JSON.stringify(frame));
  }

  /** Sends a request; the promise is for its answer, which is a frame. */
  function call(request) {
    return new Promise((resolve, reject) => {
      if (ended) return reject(lost("there is no connection"));
      if (calls.size >= MAX_CALLS) return reject(own("busy", "too many requests wait for an answer"));
      const rid = core.rid();
      calls.set(rid, { request, resolve, reject });
      send({ ...request, rid });
    });
  }

  function pingLater(ms) {
    pingTimer = core.after(ms, () => {
      // A PING may wait for a server that wants silence, but not so long that
      // the connection seems dead.
      const wait = owner.silence();
      if (wait > 0 && wait < pingEvery / 4) return pingLater(wait);
      pingLater(pingEvery);
      if (pongTimer === null) ask(pongWait, 1);
    });
  }

  /** Asks for a sign of life now, unless it waits for one. */
  function probe(ms) {
    if (pongTimer !== null && !heard) return;
    core.cancel(pongTimer);
    ask(ms, 1);
  }

  /** Asks for a sign of life within ms. again: how often one question more is
   * worth it where the timer was held up. */
  function ask(ms, again) {
    if (!conn.opened) return;
    heard = false;
    const due = core.now() + ms;
    const left = ws.bufferedAmount;
    send({ msgid: op.PING });
    pongTimer = core.after(ms, () => {
      pongTimer = null;
      if (heard) return;
      if (ws.bufferedAmount > 0 && ws.bufferedAmount < left) ask(ms, again); // what takes long to send has held up the PING too
      else if (again > 0 && core.now() > due + LATE) ask(ms, again - 1);
      else end(lost("the server is silent"));
    });
  }

  /** Ends the connection: at once, for this side. */
  function end(error) {
    if (ended) return;
    ended = true;
    for (const t of [timer, pingTimer, pongTimer]) core.cancel(t);
    if (ws) {
      ws.onopen = ws.onmessage = ws.onclose = null;
      ws.onerror = () => {}; // an attempt that is given up may be told there, and throw where nobody hears it
      ws.close();
    }
    error = turnedAway ?? error;
    for (const { reject } of calls.values()) reject(error);
    calls.clear();
    owner.ended(conn, error);
  }
}
