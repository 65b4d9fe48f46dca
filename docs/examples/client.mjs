// Talks with one user on nothing but docs/protocol.md and a WebSocket, in browsers and in Node 20 or later. There:
//
//	node --experimental-websocket client.mjs ws://HOST:PORT/ws NAME PASSWORD PEER
//
// Each line of its input goes to the user whose id is PEER. What is said in
// their conversation is printed: in its order, each message once.

// chat returns a function that says something to the peer. show is called with a line of text.
export function chat(url, name, password, peer, show) {
  let login = { msgid: 1, name, password, ack: true, brief: true };
  let me, epoch = 0, last = 0, top = 0; // our id; of the store; the end of what we have without a gap; the highest seq we know of
  let told = 0; // the last RECEIPT on this connection
  let ws, ready, asked, busy; // the connection; logged in; a SYNC is on its way; so is unsure[0]
  const unsure = []; // our messages that aren't acknowledged yet
  const send = (m) => ws.send(JSON.stringify(m));

  function sync() { // asks for what follows the last one
    if (!asked) send({ msgid: 21, peer, after: last, limit: 200 });
    asked = true;
  }

  function take(m, gapless) { // shows a message, unless one before it is missing
    top = Math.max(top, m.seq);
    if (m.seq > last && gapless) {
      last = m.seq;
      show(`${last} ${m.name} ${JSON.stringify(m.msg)}`);
    } else if (m.seq > last) {
      sync(); // which brings this one too
    }
  }

  function next() { // sends the next message once the one before it is acknowledged
    if (!ready || busy || unsure.length === 0) return;
    busy = true;
    send(unsure[0]);
    unsure[0].retry = true; // from here on it may be stored
  }

  function handle(m, again) {
    const over = m.msgid === 2 && m.errno === 1 || ["replaced", "logout", "abuse"].includes(m.reason);
    if (over || m.errno === 9 || m.errno === 10 || m.msgid === 23) {
      // LOGIN_ACK or KICK: it is over. Too fast, unavailable, another KICK: all of it again, in order, later.
      if (over) show(`over: ${m.errmsg}`);
      again(over ? Infinity : m.retry_after_ms ?? 0);
    } else if (m.msgid === 18) { // PING
      send({ msgid: 19 });
    } else if (m.msgid === 2) { // LOGIN_ACK
      if (m.epoch !== epoch) [epoch, last, top] = [m.epoch, 0, 0]; // from a backup: its messages have other numbers
      [login, ready] = [{ msgid: 1, token: m.token, ack: true, brief: true }, true];
      show(`logged in as ${me = m.id}`);
      sync();
      next();
    } else if (m.msgid === 6 && peer === (m.id === me ? m.toid : m.id)) { // ONE_CHAT
      take(m, m.seq === last + 1);
    } else if (m.msgid === 22) { // SYNC_ACK
      for (const missed of m.messages ?? []) take(missed, true);
      [asked, top] = [false, Math.max(top, m.last ?? 0)];
      if (m.errno === 0 && last < top) sync();
    } else if (m.rid === 1) { // of our message: ONE_CHAT_ACK, or ERROR where the decoder refused it
      const own = unsure.shift();
      busy = false;
      if (m.errno === 0) take({ ...own, name, seq: m.seq }, m.seq === last + 1); // it stands for the push of our message
      else show(`refused: ${m.errmsg}`);
      next();
    }
    if (ready && last > told) {
      told = last;
      send({ msgid: 20, peer, seq: last }); // RECEIPT
    }
  }

  function connect() {
    const mine = ws = new WebSocket(url);
    let heard = Date.now(), done = false, ticks = 0;
    const again = (wait) => {
      if (done) return;
      done = true;
      ready = asked = busy = false;
      told = 0;
      clearInterval(ping);
      mine.close();
      if (wait < Infinity) setTimeout(connect, wait + 200 + 800 * Math.random());
    };
    const ping = setInterval(() => {
      if (Date.now() - heard > 45_000) again(0); // it answers each PING, or it is dead
      else if (ready && ++ticks % 30 === 0) send({ msgid: 18 });
    }, 1000);
    mine.onopen = () => {
      if (login.name) send({ msgid: 4, name, password }); // REG; errno 1 where the name is taken
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
    if (text.length > 8000) return show("too long"); // up to here it fits into a frame, whatever is in it
    const cid = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("-");
    unsure.push({ msgid: 6, rid: 1, toid: peer, msg: text.toWellFormed(), cid });
    next();
  };
}

if (globalThis.process?.argv[1]?.endsWith("client.mjs")) {
  const [url, name, password, peer] = process.argv.slice(2);
  const say = chat(url, name, password, Number(peer), console.log);
  (await import("node:readline")).createInterface({ input: process.stdin }).on("line", say);
}
