// Talks with one user: node --experimental-websocket first.mjs ws://HOST:PORT/ws NAME PASSWORD PEER
import { createInterface } from "node:readline";

const [url, name, password, id] = process.argv.slice(2);
const peer = Number(id), ws = new WebSocket(url);
const held = new Map(); // what came before its turn, by seq
let me, last = 0, own = 0; // our id; up to this seq all is on the screen; the seq of our line
let mine, shown, over = false; // our line on its way; called when it is on the screen; the input has ended
const send = (m) => ws.send(JSON.stringify(m));

function fail(why) {
  console.error(why);
  process.exit(1);
}

async function say() { // the next line when the one before it is on the screen
  for await (mine of createInterface({ input: process.stdin })) {
    if (mine === "") continue;
    send({ msgid: 6, toid: peer, msg: mine, cid: crypto.randomUUID() }); // ONE_CHAT
    await new Promise((resolve) => { shown = resolve; });
  }
  over = true;
  ws.close();
}

ws.onmessage = ({ data }) => {
  const m = JSON.parse(data), before = last;
  let news = [];
  if (m.msgid === 22 && (m.errno === 0 || m.errno === 5)) { // SYNC_ACK; 5: nobody has that id yet
    news = m.messages ?? [];
  } else if (m.msgid === 23 || (m.errno && !(m.msgid === 5 && m.errno === 1))) {
    fail(m.errmsg); // KICK, or refused; REG may be: the name is taken
  } else if (m.msgid === 2) { // LOGIN_ACK
    console.log(`logged in as ${me = m.id}`);
    send({ msgid: 21, peer, after: 0 }); // SYNC: what has been said so far
  } else if (m.msgid === 6 && peer === (m.id === me ? m.toid : m.id)) { // ONE_CHAT
    news = [m];
  } else if (m.msgid === 12) { // ONE_CHAT_ACK: our line is stored
    own = m.seq;
    news = [{ seq: own, name, msg: mine }];
  } else if (m.msgid === 18) { // PING
    send({ msgid: 19 });
  }
  for (const n of news) held.set(n.seq, n);
  for (let n; (n = held.get(last + 1)); last++) console.log(`${n.seq} ${n.name} ${JSON.stringify(n.msg)}`);
  if (last > before) send({ msgid: 20, peer, seq: last }); // RECEIPT
  if (m.msgid === 22 && m.more) send({ msgid: 21, peer, after: last });
  else if (m.msgid === 22) say();
  if (before < own && own <= last) shown();
};
ws.onopen = () => {
  send({ msgid: 4, name, password }); // REG
  send({ msgid: 1, name, password, ack: true, brief: true }); // LOGIN
  setInterval(() => send({ msgid: 18 }), 30_000).unref(); // PING
};
ws.onclose = ws.onerror = () => over || fail("the connection is gone");
