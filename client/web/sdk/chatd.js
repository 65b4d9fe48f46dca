// The JavaScript SDK for chatd. README.md has an example, chatd.d.ts documents
// the API.

export { Client } from "./client.js";
export { ChatError } from "./errors.js";
export { group, parse, user } from "./conversation.js";
export { newCid } from "./conversation.js";
