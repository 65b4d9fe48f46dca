// Conversations, IDs and cids.

import { badRequest } from "./errors.js";

/** Whether n is a valid ID or seq: both are below 2^53. */
export const isId = (n) => Number.isSafeInteger(n) && n > 0;

/** Returns n. Throws ChatError "badRequest" if it isn't a valid ID. */
export function id(n) {
  if (!isId(n)) throw badRequest(`${n} isn't a valid ID`);
  return n;
}

export const user = (n) => "u" + id(n);

export const group = (n) => "g" + id(n);

export function parse(conversation) {
  const n = Number(String(conversation).slice(1));
  if (typeof conversation === "string" && /^[ug][1-9]\d*$/.test(conversation) && isId(n)) {
    return conversation[0] === "g" ? { peer: 0, group: n } : { peer: n, group: 0 };
  }
  throw badRequest(`${JSON.stringify(conversation)} isn't a conversation, such as "u7" or "g7"`);
}

/** Returns the fields that name a conversation in SYNC and RECEIPT. */
export function place(conversation) {
  const { peer, group } = parse(conversation);
  return group ? { groupid: group } : { peer };
}

/** Returns the fields that name a conversation in messages and events. */
export function addressee(conversation) {
  const { peer, group } = parse(conversation);
  return group ? { groupid: group } : { toid: peer };
}

/** Returns the conversation of a pushed frame; me is the user's own ID. */
export function conversationOf(frame, me) {
  if (frame.groupid) return group(frame.groupid);
  return user(frame.id === me ? frame.toid : frame.id);
}

/** Converts a pushed frame to a Message. */
export function messageOf(frame, me) {
  return { conversation: conversationOf(frame, me), seq: id(frame.seq), from: id(frame.id), name: frame.name,
    text: frame.msg, cid: frame.cid, time: frame.time, ...(frame.gone && { gone: true }) };
}

// A base64 alphabet in ASCII order, so that the text sorts like the bytes.
const digits = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/** A cid has 48 bits of time, then 80 random bits. The time makes the server's
 * index of cids grow at its end, which is cheaper than random inserts. */
export function newCid(now = Date.now()) {
  const b = crypto.getRandomValues(new Uint8Array(16));
  for (let i = 5; i >= 0; i--, now = Math.floor(now / 256)) b[i] = now % 256;
  let text = "";
  for (let bit = 0; bit < 128; bit += 6) {
    const at = bit >> 3;
    text += digits[(((b[at] << 8) | (b[at + 1] ?? 0)) >> (10 - (bit & 7))) & 63];
  }
  return text;
}
