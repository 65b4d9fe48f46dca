// Chats with one user over a WebSocket, in browsers and in Node 20 or later. It needs no SDK and follows docs/protocol.md.
// In Node:
//
//	node --experimental-websocket client.mjs ws://HOST:PORT/ws NAME PASSWORD PEER
//
// It sends each line of its input to the user with the ID PEER, and prints the
// messages of their conversation, in order and each one once.

// chat returns a function that sends a text to the peer. It calls show with each line to display.
export function chat(url, name, password, peer, show) {
  let login = { msgid: 1, name, password, ack: true, brief: true };
  let me, epoch = 0, have = 0, newest = 0; // our ID; epoch of the database; we have every message up to this seq; newest known seq
  let receipted = 0; // seq of the last RECEIPT on this connection
  let ws, ready, syncing, inflight; // the connection; logged in; a SYNC is in flight; pending[0] is in flight
  const pending = []; // our unacknowledged messages
  const send = (m) => ws.send(JSON.stringify(m));

  function sync() { // requests the missing messages, unless a SYNC is in flight
    if (!syncing) send({ msgid: 21, peer, after: have, limit: 200 });
    syncing = true;
  }

  function take(m, gapless) { // shows m if no message before it is missing; otherwise starts a SYNC
    newest = Math.max(newest, m.seq);
    if (m.seq > have && gapless) {
      have = m.seq;
      show(`${have} ${m.name} ${JSON.stringify(m.msg)}`);
    } else if (m.seq > have) {
      sync(); // its answer includes this message
    }
  }

  function next() { // sends the next message if none is in flight
    if (!ready || inflight || pending.length === 0) return;
    inflight = true;
    send(pending[0]);
    pending[0].retry = true; // it may now get stored: if it is sent again, mark it as a retry
  }

  function handle(m, again) {
    const over = m.msgid === 2 && m.errno === 1 || ["replaced", "logout", "abuse"].includes(m.reason);
    if (over || m.errno === 9 || m.errno === 10 || m.msgid === 23) {
      // Login refused or a final KICK: give up. Too fast, unavailable, or another KICK: reconnect and start over.
      if (over) show(`disconnected: ${m.errmsg}`);
      again(over ? Infinity : m.retry_after_ms ?? 0);
    } else if (m.msgid === 18) { // PING
      send({ msgid: 19 });
    } else if (m.msgid === 2) { // LOGIN_ACK
      if (m.epoch !== epoch) [epoch, have, newest] = [m.epoch, 0, 0]; // the database was restored: our seqs are invalid
      [login, ready] = [{ msgid: 1, token: m.token, ack: true, brief: true }, true];
      show(`logged in as ${me = m.id}`);
      sync();
      next();
    } else if (m.msgid === 6 && peer === (m.id === me ? m.toid : m.id)) { // ONE_CHAT
      take(m, m.seq === have + 1);
    } else if (m.msgid === 22) { // SYNC_ACK
      for (const missed of m.messages ?? []) take(missed, true);
      [syncing, newest] = [false, Math.max(newest, m.last ?? 0)];
      if (m.errno === 0 && have < newest) sync();
    } else if (m.rid === 1) { // ONE_CHAT_ACK, or ERROR if the message was invalid
      const own = pending.shift();
      inflight = false;
      if (m.errno === 0) take({ ...own, name, seq: m.seq }, m.seq === have + 1); // our own messages aren't pushed
      else show(`refused: ${m.errmsg}`);
      next();
    }
    if (ready && have > receipted) {
      receipted = have;
      send({ msgid: 20, peer, seq: have }); // RECEIPT
    }
  }

  function connect() {
    const mine = ws = new WebSocket(url);
    let heard = Date.now(), done = false, ticks = 0;
    const again = (wait) => {
      if (done) return;
      done = true;
      ready = syncing = inflight = false;
      receipted = 0;
      clearInterval(ping);
      mine.close();
      if (wait < Infinity) setTimeout(connect, wait + 200 + 800 * Math.random());
    };
    const ping = setInterval(() => {
      if (Date.now() - heard > 45_000) again(0); // longer than the time between PINGs: without an answer, the connection is dead
      else if (ready && ++ticks % 30 === 0) send({ msgid: 18 });
    }, 1000);
    mine.onopen = () => {
      if (login.name) send({ msgid: 4, name, password }); // REG; errno 1: the name is taken
      send(login);
    };
    mine.onmessage = (event) => {
      heard = Date.now();
      if (!done) handle(JSON.parse(event.data), again);
    };
    mine.onclose = mine.onerror = () => again(0);
  }

  connect();
  return (text) => {
    if (text.length > 8000) return show("too long"); // this much fits in a frame, whatever the characters
    const cid = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("-");
    pending.push({ msgid: 6, rid: 1, toid: peer, msg: text.toWellFormed(), cid });
    next();
  };
}

if (globalThis.process?.argv[1]?.endsWith("client.mjs")) {
  const [url, name, password, peer] = process.argv.slice(2);
  const say = chat(url, name, password, Number(peer), console.log);
  (await import("node:readline")).createInterface({ input: process.stdin }).on("line", say);
}
