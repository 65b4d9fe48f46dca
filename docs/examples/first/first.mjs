// Chats with one user: node --experimental-websocket first.mjs ws://HOST:PORT/ws NAME PASSWORD PEER
import { createInterface } from "node:readline";

const [url, name, password, id] = process.argv.slice(2);
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const peer = Number(id), ws = new WebSocket(url);
let me, have = 0, newest = 0, own = 0; // our ID; last seq printed; newest known seq; seq of our last message
let syncing = true, over = false; // a SYNC is in flight; the input has ended
const send = (m) => ws.send(JSON.stringify(m));

function fail(why) {
  console.error(why);
  process.exit(1);
}

async function say() { // sends the next line of the input
  const { value: msg, done } = await lines.next();
  if (msg) return send({ msgid: 6, toid: peer, msg, cid: crypto.randomUUID() }); // ONE_CHAT
  if (!done) return say();
  over = true;
  ws.close();
}

ws.onmessage = ({ data }) => {
  const m = JSON.parse(data);
  let news = [];
  if (m.msgid === 22 && (m.errno === 0 || m.errno === 5)) { // SYNC_ACK; errno 5: there is no such user yet
    [syncing, newest, news] = [false, Math.max(newest, m.last ?? 0), m.messages ?? []];
  } else if (m.msgid === 23 || (m.errno && !(m.msgid === 5 && m.errno === 1))) {
    fail(m.errmsg); // KICK, or any error but REG errno 1 (name taken)
  } else if (m.msgid === 2) { // LOGIN_ACK
    console.log(`logged in as ${me = m.id}`);
    send({ msgid: 21, peer, after: 0 }); // SYNC: request the whole conversation
  } else if (m.msgid === 6 && m.id + m.toid === me + peer) { // ONE_CHAT in this conversation
    newest = Math.max(newest, m.seq);
    if (m.seq === have + 1) news = [m];
  } else if (m.msgid === 12) { // ONE_CHAT_ACK: our message is stored
    newest = Math.max(newest, own = m.seq);
  } else if (m.msgid === 18) { // PING
    send({ msgid: 19 });
  }
  for (const n of news) {
    if (n.seq > have) console.log(`${have = n.seq} ${n.name} ${JSON.stringify(n.msg)}`);
  }
  if (newest > have && !syncing) {
    syncing = true;
    send({ msgid: 21, peer, after: have }); // SYNC: request missing messages
  } else if (news.length > 0) {
    send({ msgid: 20, peer, seq: have }); // RECEIPT
  }
  if (syncing || own > have) return;
  own = Infinity; // until the ACK brings its seq
  say();
};
ws.onopen = () => {
  send({ msgid: 4, name, password }); // REG
  send({ msgid: 1, name, password, ack: true, brief: true }); // LOGIN
  setInterval(() => send({ msgid: 18 }), 30_000).unref(); // PING
};
ws.onclose = ws.onerror = () => over || fail("connection lost");
