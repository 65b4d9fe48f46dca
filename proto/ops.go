// Package proto is chatd's wire protocol: frames, ops, messages, the codec and
// the error numbers. It knows neither sockets nor the store.
//
// docs/protocol.md is the specification. The tables in fields.go contain its
// messages, and drive both encoding and decoding.
package proto

import "strconv"

// Op is the msgid of a message: the kind of request, answer or push.
type Op int32

// The ops. 1 to 10 come from the C++ chat server whose protocol this extends.
// Some are used in both directions: a client sends the request, and the server
// pushes a notification with the same number to others.
const (
	LOGIN             Op = 1
	LOGIN_ACK         Op = 2
	LOGOUT            Op = 3
	REG               Op = 4
	REG_ACK           Op = 5
	ONE_CHAT          Op = 6
	ADD_FRIEND        Op = 7
	CREATE_GROUP      Op = 8
	ADD_GROUP         Op = 9
	GROUP_CHAT        Op = 10
	LOGOUT_ACK        Op = 11
	ONE_CHAT_ACK      Op = 12
	ADD_FRIEND_ACK    Op = 13
	CREATE_GROUP_ACK  Op = 14
	ADD_GROUP_ACK     Op = 15
	GROUP_CHAT_ACK    Op = 16
	ERROR             Op = 17
	PING              Op = 18
	PONG              Op = 19
	RECEIPT           Op = 20
	SYNC              Op = 21
	SYNC_ACK          Op = 22
	KICK              Op = 23
	PRESENCE          Op = 24
	EVENT             Op = 25
	DEL_FRIEND        Op = 26
	DEL_FRIEND_ACK    Op = 27
	LEAVE_GROUP       Op = 28
	LEAVE_GROUP_ACK   Op = 29
	KICK_MEMBER       Op = 30
	KICK_MEMBER_ACK   Op = 31
	DISMISS_GROUP     Op = 32
	DISMISS_GROUP_ACK Op = 33
	BLOCK             Op = 34
	BLOCK_ACK         Op = 35
	FIND_USER         Op = 36
	FIND_USER_ACK     Op = 37
	PASSWORD          Op = 38
	PASSWORD_ACK      Op = 39
	GROUP_USERS       Op = 40
	GROUP_USERS_ACK   Op = 41
	CONVERSATIONS     Op = 42
	CONVERSATIONS_ACK Op = 43

	// OpCount is one more than the highest op.
	OpCount = 44
)

var opNames = [OpCount]string{
	LOGIN: "LOGIN", LOGIN_ACK: "LOGIN_ACK", LOGOUT: "LOGOUT", REG: "REG", REG_ACK: "REG_ACK",
	ONE_CHAT: "ONE_CHAT", ADD_FRIEND: "ADD_FRIEND", CREATE_GROUP: "CREATE_GROUP", ADD_GROUP: "ADD_GROUP",
	GROUP_CHAT: "GROUP_CHAT", LOGOUT_ACK: "LOGOUT_ACK", ONE_CHAT_ACK: "ONE_CHAT_ACK",
	ADD_FRIEND_ACK: "ADD_FRIEND_ACK", CREATE_GROUP_ACK: "CREATE_GROUP_ACK", ADD_GROUP_ACK: "ADD_GROUP_ACK",
	GROUP_CHAT_ACK: "GROUP_CHAT_ACK", ERROR: "ERROR", PING: "PING", PONG: "PONG", RECEIPT: "RECEIPT",
	SYNC: "SYNC", SYNC_ACK: "SYNC_ACK", KICK: "KICK", PRESENCE: "PRESENCE", EVENT: "EVENT",
	DEL_FRIEND: "DEL_FRIEND", DEL_FRIEND_ACK: "DEL_FRIEND_ACK", LEAVE_GROUP: "LEAVE_GROUP",
	LEAVE_GROUP_ACK: "LEAVE_GROUP_ACK", KICK_MEMBER: "KICK_MEMBER", KICK_MEMBER_ACK: "KICK_MEMBER_ACK",
	DISMISS_GROUP: "DISMISS_GROUP", DISMISS_GROUP_ACK: "DISMISS_GROUP_ACK", BLOCK: "BLOCK",
	BLOCK_ACK: "BLOCK_ACK", FIND_USER: "FIND_USER", FIND_USER_ACK: "FIND_USER_ACK", PASSWORD: "PASSWORD",
	PASSWORD_ACK: "PASSWORD_ACK", GROUP_USERS: "GROUP_USERS", GROUP_USERS_ACK: "GROUP_USERS_ACK",
	CONVERSATIONS: "CONVERSATIONS", CONVERSATIONS_ACK: "CONVERSATIONS_ACK",
}

// String returns the op's name in docs/protocol.md, or its number.
func (o Op) String() string {
	if o > 0 && o < OpCount {
		return opNames[o]
	}
	return strconv.Itoa(int(o))
}

// ackOps maps each op that a client sends to the op of its answer. EVENT and
// RECEIPT have no answer, except ERROR if they are refused.
var ackOps = [OpCount]Op{
	LOGIN: LOGIN_ACK, LOGOUT: LOGOUT_ACK, REG: REG_ACK, ONE_CHAT: ONE_CHAT_ACK,
	ADD_FRIEND: ADD_FRIEND_ACK, CREATE_GROUP: CREATE_GROUP_ACK, ADD_GROUP: ADD_GROUP_ACK,
	GROUP_CHAT: GROUP_CHAT_ACK, PING: PONG, SYNC: SYNC_ACK, DEL_FRIEND: DEL_FRIEND_ACK,
	LEAVE_GROUP: LEAVE_GROUP_ACK, KICK_MEMBER: KICK_MEMBER_ACK, DISMISS_GROUP: DISMISS_GROUP_ACK,
	BLOCK: BLOCK_ACK, FIND_USER: FIND_USER_ACK, PASSWORD: PASSWORD_ACK, GROUP_USERS: GROUP_USERS_ACK,
	CONVERSATIONS: CONVERSATIONS_ACK, EVENT: ERROR, RECEIPT: ERROR,
}

// Ack returns the op of the answer to a request with op o: ERROR if only a
// refusal is answered, 0 if clients can't send o.
func (o Op) Ack() Op {
	if o > 0 && o < OpCount {
		return ackOps[o]
	}
	return 0
}
