// The JavaScript SDK of chatd: README.md has an example, chatd.d.ts every
// name with what it promises.

export { Client } from "./client.js";
export { ChatError } from "./errors.js";
export { group, parse, user } from "./conversation.js";
export { newCid } from "./conversation.js";
