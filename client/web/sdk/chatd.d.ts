// The JavaScript SDK of chatd, as an application sees it. It speaks the
// protocol of docs/protocol.md over WebSocket and keeps its promises on the
// client's side: a Client logs in once and stays logged in, sends again what
// was not acknowledged (with the same cid: nothing is stored twice), fills the
// holes in what it received, drops what it has seen, and tells the server how
// far it has come.
//
// All numbers (ids, seq, epoch, times) are integers below 2^53, which the
// protocol promises: a JavaScript number holds them exactly.
//
// Times are Unix milliseconds, UTC; waits are milliseconds.

/** Names a conversation: "u7" is the one with user 7 (with oneself: notes),
 * "g7" is group 7. Equal texts name the same one: it may be a key. */
export type Conversation = string;

/** The conversation with a user. Throws ChatError "badRequest" for what is no id. */
export function user(id: number): Conversation;

/** The conversation of a group. Throws ChatError "badRequest" for what is no id. */
export function group(id: number): Conversation;

/** Takes a Conversation apart: one of the two is set, the other is 0. Throws
 * ChatError "badRequest" for a text that names none. */
export function parse(conversation: Conversation): { peer: number; group: number };

/** Makes the cid of a message, for whoever wants to know it before send()
 * does: 22 characters that sort by time, with 80 random bits.
 * @param now Unix milliseconds; default: the clock. */
export function newCid(now?: number): string;

/** What a promise is rejected with and what "failed" and states tell. Every
 * method that returns a promise reports errors by it alone: it does not throw. */
export class ChatError extends Error {
  constructor(errno: number, name: ErrorName, text: string, retryAfter?: number);
  /** The server's errno; 0 where it is not the server that refuses. */
  readonly errno: number;
  readonly name: ErrorName;
  /** For people; the same as message. */
  readonly text: string;
  /** How long the server asks to wait, in ms; 0: it doesn't. */
  readonly retryAfter: number;
}

/** The server's, in the order of errno (1, 3 … 13), then the SDK's own. */
export type ErrorName =
  | "refused" // 1: wrong name, id, password or token (login, changePassword); name taken (register)
  | "notLoggedIn" // 3; also what is asked for before login
  | "badRequest" // 4; also what the SDK sees by itself: too long, empty, no id, a lone surrogate
  | "notFound" // 5: no such user, group or conversation
  | "notAllowed" // 6: not a member, not the creator, blocked
  | "already" // 7: already friends, already a member
  | "tooLarge" // 8
  | "tooFast" // 9: see retryAfter. Messages and requests wait by themselves; passwords don't
  | "unavailable" // 10: the server could not. Messages are tried again by themselves
  | "unknownOp" // 11
  | "loggedIn" // 12: login() of a client that is logged in
  | "limit" // 13: the group, the friend list or the groups of a user are full
  | "notConnected" // there is no connection, or it was lost before the answer: it is not known whether it was done
  | "kicked" // the server has ended the connection; text says why
  | "loggedOut" // by logout(), or somebody else has logged in on this client
  | "outboxFull" // more messages wait than Config.outbox allows
  | "busy" // too many requests wait for an answer; an event that can't be sent now
  | "timeout" // Config.loginTimeout has passed
  | "aborted" // another login has begun; or cancel() has taken the message back
  | "closed"; // by close()

/** What a Client is made from. Only url must be set. */
export interface Config {
  /** "wss://host/ws", or several, tried in turn. */
  url: string | string[];
  /** The name of this device, 1 to 64 characters; default "default". One
   * device is logged in once: a second tab with the same name replaces the
   * first (state "ended", "replaced"). */
  device?: string;
  /** Leave friends and groups out of logins: the lists stay empty. Default false. */
  brief?: boolean;

  /** Messages on the wire without acknowledgement; default and most 256, or less where the server says so. */
  window?: number;
  /** Messages that wait or are on the wire; default 4096. */
  outbox?: number;

  /** For one try to connect, ms; default 10,000. */
  dialTimeout?: number;
  /** For the answer to a login, ms; default 30,000. */
  loginTimeout?: number;
  /** Bound of the first random wait before reconnecting, ms; default 200. It doubles with each try. */
  backoffMin?: number;
  /** Bound of every wait that the server doesn't ask for, ms; default 30,000. */
  backoffMax?: number;
  /** Time between PINGs, ms; default 30,000. */
  pingEvery?: number;
  /** How long a PING may stay without anything from the server before the connection counts as dead, ms; default 15,000. */
  pongWait?: number;

  /** The constructor of WebSockets; default globalThis.WebSocket, which Node has from 22 on
   * (20: --experimental-websocket, or the one of the package ws). */
  WebSocket?: new (url: string) => WebSocketLike;
  /** Whose "online", "offline", "pageshow" events (and, of its document, "visibilitychange") tell that it is time to
   * look at the connection; default globalThis where that takes listeners; null: nobody's. */
  host?: { addEventListener: Function; removeEventListener: Function; document?: any } | null;
  /** Told what the SDK can't tell anybody else, listeners that throw above all.
   * Default: warnings and errors go to console. */
  log?: (level: "debug" | "warn" | "error", text: string, detail?: unknown) => void;

  /** For tests: the clock and the timers; default Date.now, setTimeout, clearTimeout. */
  clock?: Clock;
  /** For tests: 0 <= x < 1, for waits, never for cids; default Math.random. */
  random?: () => number;
}

export interface Clock {
  now(): number;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: any): void;
}

/** What is used of a WebSocket. */
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

/** Where a client is with its connection. */
export type State =
  /** Never logged in. */
  | { name: "idle" }
  /** A connection or a login is under way. attempt: 0 for the first, then counted since a connection held. */
  | { name: "connecting"; attempt: number }
  /** Logged in. */
  | { name: "online" }
  /** The connection is lost, or could not be made; the next try is at retryAt (the clock's ms), retryIn ms from the
   * moment this was told. */
  | { name: "offline"; error: ChatError; retryAt: number; retryIn: number; attempt: number }
  /** The client does nothing more by itself; login(), loginToken() and resume() start anew. */
  | { name: "ended"; reason: EndReason; error: ChatError | null };

export type EndReason =
  | "replaced" // the same device has logged in elsewhere
  | "logout" // logged out by another device that changed the password, by logout() of a copy of this one, or by an operator
  | "abuse" // the server has had enough
  | "token" // the token doesn't work any more: log in with the password
  | "password" // login(): wrong name or password
  | "failed" // login() or loginToken(): no answer, or a refusal that says nothing about token or password
  | "loggedOut" // by logout()
  | "closed"; // by close()

/** One message of a conversation. */
export interface Message {
  conversation: Conversation;
  /** Its number in the conversation, from 1. */
  seq: number;
  /** The sender; one's own id: another device of one's own, or this one before a reload. */
  from: number;
  /** The sender's name. */
  name: string;
  text: string;
  cid: string;
  /** The server's. */
  time: number;
  /** It came with the answer to a login: unread until then. */
  backlog?: boolean;
}

/** A message that is not acknowledged yet, in a form that JSON keeps. */
export interface Pending {
  /** The id of the user whose it is. What is of another than the one who logs in fails ("loggedOut"). */
  user: number;
  conversation: Conversation;
  text: string;
  cid: string;
  /** It may be stored already. */
  retry: boolean;
}

/** What resume() takes, in a form that JSON keeps. The token is a secret: whoever has it is logged in. */
export interface Saved {
  user: number;
  name: string;
  device: string;
  token: string;
  epoch: number;
  /** For each conversation the last message that was handled: what comes again is dropped. */
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
  /** "" where the group was joined by another device just now and the server hasn't told yet. */
  name: string;
  description: string;
  /** null: too many to be listed; see count, and groupUsers(). */
  users: Member[] | null;
  count: number;
}

/** A line in the list of conversations. */
export interface ConversationInfo {
  conversation: Conversation;
  /** Of the peer or the group. */
  name: string;
  /** The lowest seq one may see. */
  first: number;
  /** The last message's. */
  last: number;
  /** How far one has read: last - read messages are unread. */
  read: number;
  /** Of the last message: what conversations({before}) takes. */
  time: number;
  /** The last one; null: there is none that one may see. */
  message: Message | null;
}

/** A piece of a conversation, by rising seq. */
export interface Page {
  messages: Message[];
  /** The lowest seq one may see. */
  first: number;
  /** The conversation's last; 0: nobody ever spoke. */
  last: number;
  /** There is more in the direction asked. */
  more: boolean;
}

/** What happens, by name. Listeners are called one at a time, in the order of what happened, never while another runs,
 * and never by the call of a method before it has done its work. One that throws is logged; the others run. */
export interface Events {
  state: State;
  /** A message of somebody else, or of another device of one's own: each once, those of a conversation in order of seq.
   * It counts as received once the listeners have returned. What this device sends comes as "sent" instead. */
  message: Message;
  /** A message of this device is stored. It may come before "message" of an earlier seq: place it by seq. */
  sent: { conversation: Conversation; text: string; cid: string; seq: number; time: number };
  /** A message of this device will not be sent again. maybeStored: it was on the wire, so to send it again give the
   * same cid and retry: true. */
  failed: { conversation: Conversation; text: string; cid: string; error: ChatError; maybeStored: boolean };
  /** Client.pending has changed (told once for all the changes of one turn): the time to keep it. */
  pending: Pending[];
  /** What another user's client tells at the moment ("typing"), never stored. */
  event: { conversation: Conversation; from: number; name: string; kind: string; data: string };
  /** A user (the peer, or oneself on another device) has read a conversation up to seq. */
  read: { conversation: Conversation; user: number; seq: number };
  /** A friend came or went; friends and groups show it already. */
  presence: { user: number; state: "online" | "offline" };
  /** friends, groups or blocks have changed, by oneself or others; the lists show it already. */
  change: Change;
  /** There is another token, to be kept where it is safe; "": the one there was doesn't work any more. */
  token: { token: string; user: number; name: string; device: string };
  /** The store was restored from a backup: forget every message that is kept by seq, and read history anew. */
  epoch: { epoch: number };
}

export interface Change {
  kind:
    | "lists" // a login has told friends and groups anew
    | "friendAdded" // user, name
    | "friendRemoved" // user
    | "groupAdded" // group: created or joined by oneself
    | "groupRemoved" // group: dismissed, or one has left or was removed
    | "memberJoined" // group, user, name
    | "memberLeft" // group, user: has left or was removed
    | "blocked" // user
    | "unblocked"; // user
  user?: number;
  name?: string;
  group?: number;
}

/** Counters since the client was made. */
export interface Stats {
  sent: number; // chat messages put on the wire, repeats included
  repeated: number; // of these, again
  acked: number;
  refused: number; // for good
  outboxFull: number; // not taken
  received: number; // given to listeners
  duplicates: number; // dropped because they were known
  syncs: number; // holes asked for
  receipts: number; // sent
  unreadable: number; // frames of the server that were skipped
  reconnects: number; // logins after a lost connection
}

/** One device of one user. It does nothing until register, login, loginToken or resume. Its methods need no this: they
 * may be handed on. */
export class Client {
  /** Throws ChatError "badRequest" about a setting. It doesn't connect. */
  constructor(config: Config);

  /** Adds a listener; the function returned takes it away again. */
  on<K extends keyof Events>(name: K, listener: (what: Events[K]) => void): () => void;
  off<K extends keyof Events>(name: K, listener: (what: Events[K]) => void): void;

  // --- what is known without asking the server

  readonly state: State;
  /** Who is, or was last, logged in; null before the first login. */
  readonly me: { id: number; name: string; device: string } | null;
  /** What loginToken() takes; "" before the first login and after logout. */
  readonly token: string;
  /** By rising id. Copies: to change them changes nothing. */
  readonly friends: Friend[];
  /** By rising id. Copies: to change them changes nothing. */
  readonly groups: Group[];
  /** Messages without acknowledgement, in the order of sending; also after close(). */
  readonly pending: Pending[];
  /** What resume() takes, as of now; null before the first login and after logout. */
  readonly saved: Saved | null;
  readonly stats: Stats;

  // --- coming and going

  /** Makes a user and resolves to its id; it does not log in. A name that is taken is "refused". */
  register(name: string, password: string): Promise<number>;
  /** Logs in with a name, or an id (a number, or digits alone), and stays logged in until the state is "ended".
   * One try: an error leaves the client "ended". */
  login(user: string | number, password: string): Promise<void>;
  /** Like login, with a token, which names user and device. One try. */
  loginToken(token: string): Promise<void>;
  /** Logs in with what an earlier life has saved (or a token alone), and tries until it is in or has ended: for a page
   * that is opened without a network. Messages may be sent at once; they wait. Resolves at the first "online", rejects
   * at "ended". */
  resume(saved: Saved | string): Promise<void>;
  /** Ends the device's token, here and on the server, and the connection. Messages without acknowledgement fail
   * ("loggedOut"). An error ("notConnected") says that the server could not be told; here it is done all the same. */
  logout(): Promise<void>;
  /** Sets another password. All other devices are logged out; this one gets another token (event "token"). */
  changePassword(password: string, newPassword: string): Promise<void>;
  /** Tries now what "offline" would try later, unless the server has asked to wait; where there is a connection it is
   * seen to that it lives. The browser's "online" does the same by itself. */
  retryNow(): void;
  /** Ends the client for good: receipts go out, promises are rejected ("closed"), no listener is called any more after
   * the state "ended". pending and saved can still be read, and are what the next life takes. */
  close(): void;

  // --- talking

  /** Sends a message and resolves once it is stored. It may be called while "offline" or "connecting" after a login:
   * the message waits, is sent again with the same cid after a lost connection, and stored once. Messages keep
   * their order. While the state is "ended" it is kept (not by logout()) and goes out when the same user logs in again.
   * The events "sent" and "failed" tell the same; nobody need wait for the promise.
   * Errors: the server's refusal, "notLoggedIn", "outboxFull", "badRequest" (1 byte to 32 KiB of UTF-8, no lone
   * surrogate), "loggedOut", "closed".
   * @param options cid: 1 to 64 bytes, default newCid(); a cid that waits already is the same message, and so is the
   *   promise. retry: true for a message that may be stored already. */
  send(conversation: Conversation, text: string, options?: { cid?: string; retry?: boolean }): Promise<{ seq: number; time: number }>;
  /** Takes over messages that an earlier life has left (its pending), to be sent as soon as their user is logged in, in
   * their order, before what is sent later. How they end is told by "sent" and "failed" alone. What isn't a Pending is
   * left out and logged. To be called before login or resume. */
  restore(pending: Pending[]): void;
  /** Takes a message back that was never on the wire; false: it was, or there is none. Its promise is rejected ("aborted"). */
  cancel(conversation: Conversation, cid: string): boolean;
  /** Resolves when no message waits for its acknowledgement. */
  flush(): Promise<void>;
  /** Tells the server, and by it one's other devices and the peer, that a conversation is read up to seq; never beyond
   * what has come without a hole. Sent a moment later, or after a reconnect. */
  markRead(conversation: Conversation, seq: number): void;
  /** Tells whoever is online there, now, and nobody later. kind: 1 to 32 characters; data: up to 1 KiB. Does not wait.
   * Throws ChatError "badRequest"; false: it can't be sent now, and is worth nothing later. */
  tell(conversation: Conversation, kind: string, data?: string): boolean;
  /** tell(conversation, "typing"). */
  typing(conversation: Conversation): boolean;

  // --- asking: "notLoggedIn", "notConnected", "busy", "aborted", "closed", or the server's refusal

  /** A page of messages: the last ones, those before a seq, or those after one. limit 1 to 200, default 50. It changes
   * nothing about what is received or read. */
  history(conversation: Conversation, options?: { before?: number; after?: number; limit?: number }): Promise<Page>;
  /** The latest first; the next page is {before: the last one's time}. limit 1 to 100, default 50. */
  conversations(options?: { before?: number; limit?: number }): Promise<{ conversations: ConversationInfo[]; more: boolean }>;
  /** By name, or by id (a number, or digits alone); state is there for friends. None: "notFound". */
  findUser(nameOrId: string | number): Promise<{ id: number; name: string; state?: "online" | "offline" }>;
  addFriend(user: number): Promise<Friend>;
  /** Ends the friendship on both sides. */
  delFriend(user: number): Promise<void>;
  /** Keeps a user's messages and requests away, or no longer. */
  block(user: number, on: boolean): Promise<void>;
  /** Resolves to the id of the group, whose creator one is. */
  createGroup(name: string, description?: string): Promise<number>;
  joinGroup(group: number): Promise<Group>;
  /** Its creator can only dismiss it ("notAllowed"). */
  leaveGroup(group: number): Promise<void>;
  /** Creator only. */
  kickMember(group: number, user: number): Promise<void>;
  /** Creator only. */
  dismissGroup(group: number): Promise<void>;
  /** A page of up to 200 members by rising id, those with an id above after. */
  groupUsers(group: number, options?: { after?: number }): Promise<{ users: Member[]; more: boolean }>;
}
