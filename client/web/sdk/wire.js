// The ops, errnos and limits of docs/protocol.md that the SDK uses.

// Ops of answers aren't needed: answers are matched by rid.
export const LOGIN = 1, LOGOUT = 3, REG = 4, ONE_CHAT = 6, ADD_FRIEND = 7, CREATE_GROUP = 8, ADD_GROUP = 9, GROUP_CHAT = 10, ERROR = 17,
  PING = 18, PONG = 19, RECEIPT = 20, SYNC = 21, KICK = 23, PRESENCE = 24, EVENT = 25, DEL_FRIEND = 26, LEAVE_GROUP = 28, KICK_MEMBER = 30,
  DISMISS_GROUP = 32, BLOCK = 34, FIND_USER = 36, PASSWORD = 38, GROUP_USERS = 40, CONVERSATIONS = 42;

export const TOO_FAST = 9, UNAVAILABLE = 10, NOT_LOGGED_IN = 3, NOT_FOUND = 5, NOT_ALLOWED = 6, REFUSED = 1;

export const MAX_WINDOW = 256, MAX_MSG = 32 << 10, MAX_FRAME = 64 << 10, MAX_CID = 64, MAX_EVENT = 32, MAX_DATA = 1 << 10,
  MAX_DEVICE = 64, MAX_PAGE = 200;

const encoder = new TextEncoder();

/** Returns the length of a text in bytes of UTF-8. */
export const bytes = (text) => encoder.encode(text).length;

/** Reports whether a text has an unpaired surrogate, which UTF-8 can't encode. */
export const torn = (text) => /\p{Surrogate}/u.test(text);
