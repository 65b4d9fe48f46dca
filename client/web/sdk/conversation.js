// The names of conversations and of messages.

import { badRequest } from "./errors.js";

/** Whether n is an id, or a seq: what the protocol has of numbers fits in a double. */
export const isId = (n) => Number.isSafeInteger(n) && n > 0;

/** n, if it is an id. */
export function id(n) {
  if (!isId(n)) throw badRequest(`${n} is no id`);
  return n;
}

export const user = (n) => "u" + id(n);

export const group = (n) => "g" + id(n);

export function parse(conversation) {
  const n = Number(String(conversation).slice(1));
  if (typeof conversation === "string" && /^[ug][1-9]\d*$/.test(conversation) && isId(n)) {
    return conversation[0] === "g" ? { peer: 0, group: n } : { peer: n, group: 0 };
  }
  throw badRequest(`${JSON.stringify(conversation)} names no conversation`);
}

/** The fields by which SYNC and RECEIPT name a conversation. */
export function place(conversation) {
  const { peer, group } = parse(conversation);
  return group ? { groupid: group } : { peer };
}

/** The fields by which messages and events do. */
export function addressee(conversation) {
  const { peer, group } = parse(conversation);
  return group ? { groupid: group } : { toid: peer };
}

/** What a frame is about, as me sees it. */
export function conversationOf(frame, me) {
  if (frame.groupid) return group(frame.groupid);
  return user(frame.id === me ? frame.toid : frame.id);
}

/** A message as listeners get it, of a frame as it is pushed. */
export function messageOf(frame, me) {
  return { conversation: conversationOf(frame, me), seq: id(frame.seq), from: id(frame.id), name: frame.name,
    text: frame.msg, cid: frame.cid, time: frame.time };
}

// Base64 whose texts sort as the bytes do.
const digits = "-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";

/** 48 bits of time, then 80 random ones. The time is for the server's sake,
 * whose index of cids grows at its end then, not everywhere. */
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
