// The protocol's numbers and sizes: docs/protocol.md.

export const LOGIN = 1, LOGIN_ACK = 2, LOGOUT = 3, LOGOUT_ACK = 11, REG = 4, ONE_CHAT = 6, ADD_FRIEND = 7, CREATE_GROUP = 8,
  ADD_GROUP = 9, GROUP_CHAT = 10, ONE_CHAT_ACK = 12, ADD_FRIEND_ACK = 13, CREATE_GROUP_ACK = 14, ADD_GROUP_ACK = 15,
  GROUP_CHAT_ACK = 16, ERROR = 17, PING = 18, PONG = 19, RECEIPT = 20, SYNC = 21, KICK = 23, PRESENCE = 24, EVENT = 25,
  DEL_FRIEND = 26, DEL_FRIEND_ACK = 27, LEAVE_GROUP = 28, LEAVE_GROUP_ACK = 29, KICK_MEMBER = 30, KICK_MEMBER_ACK = 31,
  DISMISS_GROUP = 32, DISMISS_GROUP_ACK = 33, BLOCK = 34, BLOCK_ACK = 35, FIND_USER = 36, PASSWORD = 38, PASSWORD_ACK = 39,
  GROUP_USERS = 40, CONVERSATIONS = 42;

export const TOO_FAST = 9, UNAVAILABLE = 10, NOT_LOGGED_IN = 3, NOT_FOUND = 5, NOT_ALLOWED = 6, REFUSED = 1;

export const MAX_WINDOW = 256, MAX_MSG = 32 << 10, MAX_FRAME = 64 << 10, MAX_CID = 64, MAX_EVENT = 32, MAX_DATA = 1 << 10,
  MAX_DEVICE = 64, MAX_PAGE = 200;

const encoder = new TextEncoder();

/** How many bytes a text takes in UTF-8. */
export const bytes = (text) => encoder.encode(text).length;

/** Whether a text has half of a surrogate pair, which no UTF-8 can hold. */
export const torn = (text) => /\p{Surrogate}/u.test(text);
