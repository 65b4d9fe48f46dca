// The API of the JavaScript SDK for chatd.
//
// A Client logs in once and stays logged in: it reconnects by itself, resends
// unacknowledged messages with the same cid (so each is stored once), requests
// messages it missed, drops duplicates, and sends receipts. It implements the
// client's side of docs/protocol.md over WebSocket.
//
// IDs, seq, epoch and times are integers below 2^53, so JavaScript numbers
// hold them exactly. Times are Unix milliseconds (UTC); durations are
// milliseconds.

/** Names a conversation: "u7" is the conversation with user 7 (your own ID:
 * notes to yourself), "g7" is group 7. Each conversation has exactly one such
 * string, so it can be used as a key. */
export type Conversation = string;

/** Returns the conversation with a user. Throws ChatError "badRequest" if id isn't a valid ID. */
export function user(id: number): Conversation;

/** Returns the conversation of a group. Throws ChatError "badRequest" if id isn't a valid ID. */
export function group(id: number): Conversation;

/** Returns the user ID (peer) or group ID of a conversation; the other one is 0.
 * Throws ChatError "badRequest" if the string isn't a conversation. */
export function parse(conversation: Conversation): { peer: number; group: number };

/** Returns a new cid for send(): 22 characters that sort by time and contain 80
 * random bits. You need it only to know the cid before calling send().
 * @param now Unix milliseconds; default: the current time. */
export function newCid(now?: number): string;

/** The error of rejected promises, "failed" events and states. Methods that
 * return a promise never throw; they reject. */
export class ChatError extends Error {
  constructor(errno: number, name: ErrorName, text: string, retryAfter?: number);
  /** The server's errno; 0 if the error isn't from the server. */
  readonly errno: number;
  readonly name: ErrorName;
  /** A description in English; the same as message. */
  readonly text: string;
  /** How long the server asks to wait before retrying, in ms; 0 if it doesn't say. */
  readonly retryAfter: number;
}

/** Errors of the server in the order of their errno (1, 3 … 13), then those of the SDK. */
export type ErrorName =
  | "refused" // 1: wrong name, ID, password or token (login, changePassword); name taken (register)
  | "notLoggedIn" // 3: also for requests made before login
  | "badRequest" // 4: also for arguments that the SDK refuses: too long, empty, an invalid ID, an unpaired surrogate
  | "notFound" // 5: no such user, group or conversation; no valid invitation code (register)
  | "notAllowed" // 6: not a member, not the creator, blocked; registration is off (register)
  | "already" // 7: already friends, already a member
  | "tooLarge" // 8
  | "tooFast" // 9: rate limit; see retryAfter. The SDK resends messages and requests, but not passwords
  | "unavailable" // 10: the server couldn't do it now. The SDK resends messages
  | "unknownOp" // 11
  | "loggedIn" // 12: login() on a client that is logged in
  | "limit" // 13: the group or friend list is full, the user is in too many groups, or has sent too much to a stranger
  | "notConnected" // no connection, or it was lost before the answer: the server may have done what was asked
  | "kicked" // the server closed the connection; text says why
  | "loggedOut" // logout() was called, or another user logged in on this client
  | "outboxFull" // Config.outbox messages are already unacknowledged
  | "busy" // too many requests are waiting for an answer
  | "timeout" // no answer to login or register within Config.loginTimeout
  | "aborted" // another login was started, or cancel() withdrew the message
  | "closed"; // close() was called

/** The settings of a Client. Only url is required. */
export interface Config {
  /** "wss://host/ws", or several URLs to try in turn. */
  url: string | string[];
  /** The name of this device, 1 to 64 characters; default "default". A device has one session: a second tab that logs in
   * with the same name replaces the first (state "ended", reason "replaced"). */
  device?: string;
  /** Leave friends and groups out of login answers: the lists stay empty. Default false. */
  brief?: boolean;

  /** How many messages may be in flight (sent, but not acknowledged); default 256, which is also the maximum. The server
   * may allow fewer. */
  window?: number;
  /** How many messages may be unacknowledged, whether queued or in flight; default 4096. */
  outbox?: number;

  /** Timeout of one connection attempt, ms; default 10,000. */
  dialTimeout?: number;
  /** How long to wait for the answer to a login or registration once connected, ms; default 30,000. */
  loginTimeout?: number;
  /** Upper bound of the first random reconnect delay, ms; default 200. It doubles with each attempt. */
  backoffMin?: number;
  /** Upper bound of all reconnect delays, ms; default 30,000. A server may ask for longer ones. */
  backoffMax?: number;
  /** Time between PINGs, ms; default 30,000. */
  pingEvery?: number;
  /** How long to wait after a PING for anything from the server before closing the connection, ms; default 15,000. */
  pongWait?: number;

  /** The WebSocket constructor; default globalThis.WebSocket, which Node has since version 22
   * (version 20: with --experimental-websocket, or use the package ws). */
  WebSocket?: new (url: string) => WebSocketLike;
  /** The object whose "online", "offline" and "pageshow" events (and whose document's "visibilitychange" and "resume"
   * events) make the client check its connection; default globalThis if it has events; null: none. */
  host?: { addEventListener: Function; removeEventListener: Function; document?: any } | null;
  /** Receives what isn't reported otherwise, such as exceptions thrown by listeners.
   * Default: warnings and errors are written to the console. */
  log?: (level: "debug" | "warn" | "error", text: string, detail?: unknown) => void;

  /** For tests: clock and timers; default Date.now, setTimeout, clearTimeout. */
  clock?: Clock;
  /** For tests: returns 0 <= x < 1. Used for delays, never for cids; default Math.random. */
  random?: () => number;
}

export interface Clock {
  now(): number;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

/** The part of WebSocket that the SDK uses. */
export interface WebSocketLike {
  readyState: number;
  bufferedAmount: number;
  onopen: any;
  onmessage: any;
  onerror: any;
  onclose: any;
  send(text: string): void;
  close(code?: number, reason?: string): void;
}

/** The state of a client's connection. */
export type State =
  /** No login yet. */
  | { name: "idle" }
  /** Connecting or logging in. attempt is 0 for the first attempt, and 0 again after a stable connection. */
  | { name: "connecting"; attempt: number }
  /** Logged in. */
  | { name: "online" }
  /** The connection was lost or couldn't be made. The next attempt is at retryAt (a time of the clock), which is
   * retryIn ms after this event. */
  | { name: "offline"; error: ChatError; retryAt: number; retryIn: number; attempt: number }
  /** The client has stopped reconnecting. login(), loginToken() and resume() start again. */
  | { name: "ended"; reason: EndReason; error: ChatError | null };

export type EndReason =
  | "replaced" // the same device logged in elsewhere
  | "logout" // another device changed the password, a copy of this client logged out, or an operator logged the user out
  | "abuse" // the server closed the connection because this client ignored its rate limits, or sent invalid frames
  | "token" // the token is no longer valid: log in with the password
  | "password" // login(): wrong name or password
  | "failed" // login() or loginToken() failed, but not because of the password or token
  | "loggedOut" // logout() was called
  | "closed"; // close() was called

/** One message of a conversation. */
export interface Message {
  conversation: Conversation;
  /** Its number in the conversation, from 1. */
  seq: number;
  /** The sender's ID. Your own: sent by another device of yours, or by this one before a reload. */
  from: number;
  /** The sender's name. */
  name: string;
  text: string;
  cid: string;
  /** When the server stored it. */
  time: number;
  /** true if it was sent while this device was offline and came with the answer to the login. */
  backlog?: boolean;
  /** true if the sender's account was deleted. Pushes don't have it. */
  gone?: boolean;
}

/** An unacknowledged message. It can be stored as JSON. */
export interface Pending {
  /** The ID of the user who wrote it. If another user logs in, it fails ("loggedOut"). */
  user: number;
  conversation: Conversation;
  text: string;
  cid: string;
  /** true if the server may have stored it already. */
  retry: boolean;
}

/** What resume() needs. It can be stored as JSON. The token is a secret: it logs in without a password. */
export interface Saved {
  user: number;
  name: string;
  device: string;
  token: string;
  epoch: number;
  /** The seq of the last handled message of each conversation. Messages up to it are dropped if they arrive again. */
  last: Record<Conversation, number>;
}

export interface Friend {
  id: number;
  name: string;
  state: "online" | "offline";
}

export interface Member extends Friend {
  role: "creator" | "normal";
}

export interface Group {
  id: number;
  /** "" for a short time after another device of yours joined the group. */
  name: string;
  description: string;
  /** null if the group is too large to list; use count and groupUsers(). */
  users: Member[] | null;
  count: number;
}

/** An entry in the list of conversations. */
export interface ConversationInfo {
  conversation: Conversation;
  /** The name of the peer or the group. */
  name: string;
  /** The lowest seq that you may read. */
  first: number;
  /** The seq of the last message. */
  last: number;
  /** You have read up to this seq: last - read messages are unread. */
  read: number;
  /** The time of the last message; pass it as before to get the next page. */
  time: number;
  /** The last message; null if there is none that you may read. */
  message: Message | null;
  /** true if the peer's account was deleted: messages to it are refused ("notFound"). */
  gone?: boolean;
}

/** A part of a conversation's history, in ascending order of seq. */
export interface Page {
  messages: Message[];
  /** The lowest seq that you may read. */
  first: number;
  /** The seq of the conversation's last message; 0 if it has none. */
  last: number;
  /** true if there are more messages in the requested direction. */
  more: boolean;
}

/** The events of a client. Listeners are called one at a time and in the order of the events. They are never called
 * while another listener runs, or before a method has finished its work. If a listener throws, the exception is logged
 * and the other listeners are still called. */
export interface Events {
  state: State;
  /** A message from another user, or from another device of yours. Each arrives once, and those of a conversation in
   * ascending order of seq. It counts as received when the listeners have returned. Messages sent by this client are
   * reported as "sent" instead. */
  message: Message;
  /** A message of this client was stored. This may come before "message" events with a lower seq: sort by seq. */
  sent: { conversation: Conversation; text: string; cid: string; seq: number; time: number };
  /** A message of this client won't be sent again. maybeStored: the server may have stored it; to send it again, call
   * send() with the same cid and retry: true. */
  failed: { conversation: Conversation; text: string; cid: string; error: ChatError; maybeStored: boolean };
  /** Client.pending has changed: save it now. Changes made in the same turn of the event loop are reported together. */
  pending: Pending[];
  /** An event that another client sent with tell(), such as "typing". Events are never stored. */
  event: { conversation: Conversation; from: number; name: string; kind: string; data: string };
  /** A user (the peer, or you on another device) has read a conversation up to seq. */
  read: { conversation: Conversation; user: number; seq: number };
  /** A friend went online or offline; friends and groups are already updated. */
  presence: { user: number; state: "online" | "offline" };
  /** friends, groups or blocked users have changed, here or elsewhere; friends and groups are already updated. */
  change: Change;
  /** The token has changed: save it in a safe place. "": the old token is no longer valid. */
  token: { token: string; user: number; name: string; device: string };
  /** The server's database was restored from a backup: delete all messages that you stored by seq, and load the history
   * again. */
  epoch: { epoch: number };
}

export interface Change {
  kind:
    | "lists" // the friends and groups of a login answer
    | "friendAdded" // user, name
    | "friendRemoved" // user
    | "groupAdded" // group: you created or joined it
    | "groupRemoved" // group: it was dismissed, or you left or were removed
    | "memberJoined" // group, user, name
    | "memberLeft" // group, user: left or was removed
    | "blocked" // user
    | "unblocked"; // user
  user?: number;
  name?: string;
  group?: number;
}

/** Counters since the client was created. */
export interface Stats {
  sent: number; // messages sent, including resends
  repeated: number; // resends
  acked: number; // messages acknowledged
  refused: number; // messages that the server refused for good
  outboxFull: number; // messages not accepted because the outbox was full
  received: number; // messages delivered to listeners
  duplicates: number; // messages dropped because they had arrived before
  syncs: number; // SYNC requests for missing messages
  receipts: number; // receipts sent
  unreadable: number; // frames from the server that were skipped as invalid
  reconnects: number; // logins after a lost connection
}

/** One device of one user. A new client is idle until you call register, login, loginToken or resume. Its methods don't
 * use this, so they can be passed as callbacks. */
export class Client {
  /** Throws ChatError "badRequest" if a setting is invalid. It doesn't connect. */
  constructor(config: Config);

  /** Adds a listener and returns a function that removes it. */
  on<K extends keyof Events>(name: K, listener: (what: Events[K]) => void): () => void;
  off<K extends keyof Events>(name: K, listener: (what: Events[K]) => void): void;

  // --- local state

  readonly state: State;
  /** The user who is or was last logged in; null before the first login. */
  readonly me: { id: number; name: string; device: string } | null;
  /** The token for loginToken(); "" before the first login and after logout. */
  readonly token: string;
  /** What the server had enabled at the last login, such as "register": anyone may register. Ignore
   * names that you don't know. A copy: changing it has no effect. */
  readonly features: string[];
  /** In ascending order of ID. A copy: changing it has no effect. */
  readonly friends: Friend[];
  /** In ascending order of ID. A copy: changing it has no effect. */
  readonly groups: Group[];
  /** Unacknowledged messages in the order of sending. Still available after close(). */
  readonly pending: Pending[];
  /** What resume() needs, as of now; null before the first login and after logout. Still available after close(). */
  readonly saved: Saved | null;
  readonly stats: Stats;

  // --- account and connection

  /** Creates a user and resolves to its ID. It doesn't log in. code is an invitation code, for servers that need one.
   * Rejects with "refused" if the name is taken, "badRequest" if the password is too common, "notFound" if the server
   * needs a code or this one can't be used, and "notAllowed" if registration is off. */
  register(name: string, password: string, code?: string): Promise<number>;
  /** Logs in with a name or an ID (a number, or a string of digits) and stays logged in until the state is "ended".
   * It tries once: an error ends the client ("ended"). */
  login(user: string | number, password: string): Promise<void>;
  /** Logs in with a token, which identifies user and device. Otherwise like login. */
  loginToken(token: string): Promise<void>;
  /** Logs in with the saved state of an earlier client (or just a token). It retries until it succeeds or the state is
   * "ended", so a page can be opened without a network. Messages can be sent right away; they are queued. Resolves at
   * the first "online", rejects at "ended". */
  resume(saved: Saved | string): Promise<void>;
  /** Logs out: invalidates the device's token and closes the connection. Unacknowledged messages fail ("loggedOut").
   * If it rejects with "notConnected", this client is logged out, but the token may still be valid on the server. */
  logout(): Promise<void>;
  /** Changes the password. All other devices are logged out; this one gets a new token (event "token"). */
  changePassword(password: string, newPassword: string): Promise<void>;
  /** Reconnects now instead of at retryAt, unless the server asked to wait. If the client is online, it checks the
   * connection. The SDK calls it by itself when the browser goes online or the page becomes visible. */
  retryNow(): void;
  /** Closes the client for good: it sends outstanding receipts, rejects all promises ("closed"), and calls no listener
   * after the state "ended". pending and saved can still be read and passed to the next client. */
  close(): void;

  // --- messages

  /** Sends a message and resolves when it is stored. While the client is "connecting" or "offline", the message is
   * queued. After a lost connection it is resent with the same cid, so it is stored once. Messages keep their order.
   * In the state "ended" (but not after logout()) unacknowledged messages are kept, and sent when the same user logs in
   * again. The events "sent" and "failed" report the same as the promise, which may be ignored.
   * Errors: "badRequest" (the text must have 1 byte to 32 KiB of UTF-8 and no unpaired surrogate), "notLoggedIn",
   * "outboxFull", "loggedOut", "closed", or the server's refusal.
   * @param options cid: 1 to 64 bytes, default newCid(). Sending a cid that is still unacknowledged returns the promise
   *   of the first call. retry: set it to true if the server may have stored the message already. */
  send(conversation: Conversation, text: string, options?: { cid?: string; retry?: boolean }): Promise<{ seq: number; time: number }>;
  /** Queues the unacknowledged messages (pending) of an earlier client. They are sent when their user logs in, in their
   * order and before messages sent later. Their outcome is reported only by "sent" and "failed". Invalid entries are
   * skipped and logged. Call it before login or resume. */
  restore(pending: Pending[]): void;
  /** Withdraws a message that hasn't been sent yet; its promise is rejected ("aborted"). Returns false if it was sent
   * or doesn't exist. */
  cancel(conversation: Conversation, cid: string): boolean;
  /** Resolves when every message has been acknowledged or has failed. */
  flush(): Promise<void>;
  /** Marks a conversation as read up to seq, for your other devices and the peer, but not beyond the first missing
   * message. The receipt is sent a moment later, or after reconnecting. */
  markRead(conversation: Conversation, seq: number): void;
  /** Sends an event to those who are online in the conversation; it isn't stored or acknowledged. kind: 1 to 32
   * characters; data: up to 1 KiB. Returns false if it can't be sent now; it isn't queued. Throws ChatError
   * "badRequest". */
  tell(conversation: Conversation, kind: string, data?: string): boolean;
  /** The same as tell(conversation, "typing"). */
  typing(conversation: Conversation): boolean;

  // --- requests. Errors: "notLoggedIn", "notConnected", "busy", "aborted", "closed", or the server's refusal

  /** Returns a page of messages: the latest ones, those before a seq, or those after a seq. limit: 1 to 200, default 50.
   * It doesn't mark anything as received or read. */
  history(conversation: Conversation, options?: { before?: number; after?: number; limit?: number }): Promise<Page>;
  /** Returns conversations, the latest first. For the next page, pass the time of the last one as before. limit: 1 to
   * 100, default 50. */
  conversations(options?: { before?: number; limit?: number }): Promise<{ conversations: ConversationInfo[]; more: boolean }>;
  /** Finds a user by exact name or by ID (a number, or a string of digits). state is set only for friends. Rejects with
   * "notFound" if there is none. */
  findUser(nameOrId: string | number): Promise<{ id: number; name: string; state?: "online" | "offline" }>;
  addFriend(user: number): Promise<Friend>;
  /** Removes the friendship for both users. */
  delFriend(user: number): Promise<void>;
  /** Blocks (on: true) or unblocks a user. A blocked user can't message you, add you as a friend, or see you online. */
  block(user: number, on: boolean): Promise<void>;
  /** Creates a group, whose creator and first member you are, and resolves to its ID. */
  createGroup(name: string, description?: string): Promise<number>;
  joinGroup(group: number): Promise<Group>;
  /** Leaves a group. Its creator can only delete it ("notAllowed"). */
  leaveGroup(group: number): Promise<void>;
  /** Removes a member. Only the creator may. */
  kickMember(group: number, user: number): Promise<void>;
  /** Deletes a group for all members. Only the creator may. */
  dismissGroup(group: number): Promise<void>;
  /** Returns up to 200 members in ascending order of ID; for the next page, pass the last ID as after. */
  groupUsers(group: number, options?: { after?: number }): Promise<{ users: Member[]; more: boolean }>;
}
