package prototest

import (
	"fmt"
	"strconv"
	"strings"

	"chatd/proto"
)

// Refusal is a frame that the decoder refuses. The server answers it with ERROR, with
// the rid if HasRID is set.
type Refusal struct {
	Wire    string
	Errno   proto.Errno
	Message string
	Op      proto.Op // 0 if it couldn't be read
	HasRID  bool
	RID     int64
}

const (
	wantID      = " must be an integer from 1 to 9007199254740991"
	wantSeq     = " must be an integer from 0 to 9007199254740991"
	wantInteger = " must be an integer from -9007199254740991 to 9007199254740991"
	wantBoolean = " must be true or false"
	wantString  = " must be a string"
)

// Refusals returns frames for every reason to refuse one.
func Refusals() []Refusal {
	var all []Refusal
	add := func(op proto.Op, message string, wires ...string) {
		for _, w := range wires {
			errno := proto.BadRequest
			if strings.HasPrefix(message, "unknown msgid") || strings.HasSuffix(message, "sent by servers only") {
				errno = proto.UnknownOp
			}
			r := Refusal{Wire: w, Errno: errno, Message: message, Op: op}
			if strings.HasPrefix(w, `{"rid":7,`) {
				r.HasRID, r.RID = true, 7
			}
			all = append(all, r)
		}
	}
	// msg returns a message of op with these fields and the rid 7.
	msg := func(op proto.Op, fields string) string {
		return `{"rid":7,"msgid":` + strconv.Itoa(int(op)) + `,` + fields + `}`
	}
	long := strings.Repeat

	// Not a JSON object.
	add(0, "invalid JSON at byte 0: a frame must be a JSON object", "", "[]", "null", `"{}"`, "1", "\ufeff{}", "}")
	add(0, "invalid JSON at byte 2: a frame must be a JSON object", "  ")
	add(0, "invalid JSON at byte 1: unexpected end of frame", "{")
	add(0, "invalid JSON at byte 9: unexpected end of frame", `{"rid":7,`)
	add(0, "invalid JSON at byte 9: expected a key in double quotes", `{"rid":7,}`, `{"rid":7,x:1}`, `{"rid":7,'x':1}`)
	add(0, "invalid JSON at byte 1: expected a key in double quotes", `{,}`, `{1:2}`)
	add(0, "invalid JSON at byte 12: expected a colon after the key", `{"rid":7,"x"}`, `{"rid":7,"x",1}`, `{"rid":7,"x"1}`)
	add(0, "invalid JSON at byte 14: expected a comma or a closing bracket", `{"rid":7,"x":1"y":2}`, `{"rid":7,"x":1]`, `{"rid":7,"x":0x1}`, `{"rid":7,"x":01}`)
	add(0, "invalid JSON at byte 13: expected a JSON value", `{"rid":7,"x":}`, `{"rid":7,"x":,}`, `{"rid":7,"x":+1}`, `{"rid":7,"x":NaN}`, `{"rid":7,"x":.5}`, `{"rid":7,"x":nul}`, `{"rid":7,"x":True}`)
	add(0, "invalid JSON at byte 14: expected a JSON value", `{"rid":7,"x":[,]}`, `{"rid":7,"x":[}`)
	add(0, "invalid JSON at byte 16: expected a JSON value", `{"rid":7,"x":[1,]}`)
	add(0, "invalid JSON at byte 14: invalid number", `{"rid":7,"x":-}`, `{"rid":7,"x":--1}`, `{"rid":7,"x":-a}`)
	add(0, "invalid JSON at byte 15: invalid number", `{"rid":7,"x":1.}`, `{"rid":7,"x":1e}`, `{"rid":7,"x":1E}`)
	add(0, "invalid JSON at byte 14: invalid escape sequence", `{"rid":7,"x":"\x"}`, `{"rid":7,"x":"\u12g4"}`, `{"rid":7,"x":"\u12"}`, `{"rid":7,"x":"\`+"\n"+`"}`)
	add(0, "invalid JSON at byte 14: lone surrogate", `{"rid":7,"x":"\ud800"}`, `{"rid":7,"x":"\uDFFF"}`, `{"rid":7,"x":"\ud800\u0041"}`, `{"rid":7,"x":"\ud800\ud800"}`, `{"rid":7,"x":"\ud800x"}`)
	add(0, "invalid JSON at byte 14: unescaped control character in a string", `{"rid":7,"x":"`+"\n"+`"}`, `{"rid":7,"x":"`+"\x00"+`"}`, `{"rid":7,"x":"`+"\x1f"+`2345678"}`)
	add(0, "invalid JSON at byte 14: invalid UTF-8",
		`{"rid":7,"x":"`+"\xff"+`"}`,             // never valid
		`{"rid":7,"x":"`+"\x80"+`"}`,             // a continuation byte alone
		`{"rid":7,"x":"`+"\xc3"+`"}`,             // truncated
		`{"rid":7,"x":"`+"\xe4\xbd"+`"}`,         // truncated
		`{"rid":7,"x":"`+"\xc0\xaf"+`"}`,         // overlong
		`{"rid":7,"x":"`+"\xe0\x80\xaf"+`"}`,     // overlong
		`{"rid":7,"x":"`+"\xed\xa0\x80"+`"}`,     // a surrogate
		`{"rid":7,"x":"`+"\xf4\x90\x80\x80"+`"}`, // beyond U+10FFFF
		`{"rid":7,"x":"`+"\xf8\x88\x80\x80\x80"+`"}`)
	add(0, "invalid JSON at byte 10: invalid UTF-8", `{"rid":7,"`+"\xff"+`":1}`)
	add(0, "invalid JSON at byte 15: unexpected end of frame", `{"rid":7,"x":"a`, `{"rid":7,"x":1.`, `{"rid":7,"x":1e`)
	add(0, "invalid JSON at byte 14: unexpected end of frame", `{"rid":7,"x":"\`, `{"rid":7,"x":[`, `{"rid":7,"x":{`, `{"rid":7,"x":1`, `{"rid":7,"x":-`)
	add(0, "invalid JSON at byte 9: duplicate key", `{"rid":7,"rid":7}`, `{"rid":7,"r\u0069d":7}`)
	add(0, "invalid JSON at byte 15: duplicate key", `{"rid":7,"x":1,"x":1}`, `{"rid":7,"x":1,"\u0078":1}`, `{"rid":7,"":{},"":{}}`)
	add(0, "invalid JSON at byte 20: duplicate key", `{"rid":7,"x":{"y":1,"y":2}}`)
	add(0, "invalid JSON at byte 22: duplicate key", `{"rid":7,"x":[{"id":1,"\u0069d":2}]}`)
	add(0, "invalid JSON at byte 28: nested more than 16 levels deep", `{"rid":7,"x":`+long("[", 16)+long("]", 16)+`}`, `{"rid":7,"x":`+long("[", 20_000))
	add(0, "invalid JSON at byte 88: nested more than 16 levels deep", `{"rid":7,"x":`+long(`{"a":`, 16)+`1`+long("}", 16)+`}`, `{"rid":7,"x":`+long(`{"a":`, 10_000))
	add(proto.PING, "invalid JSON at byte 20: unexpected data after the JSON object", `{"rid":7,"msgid":18}{}`, `{"rid":7,"msgid":18},`, `{"rid":7,"msgid":18}`+"\x00", `{"rid":7,"msgid":18}}`)

	// The msgid is missing, or isn't one that clients send.
	add(0, "msgid is missing", `{}`, `{"rid":7,"toid":1}`, `{"rid":7,"x":1,"Msgid":18,"MSGID":18}`)
	add(0, "msgid must be an integer", `{"rid":7,"msgid":"18"}`, `{"rid":7,"msgid":18.0}`, `{"rid":7,"msgid":1e1}`, `{"rid":7,"msgid":null}`, `{"rid":7,"msgid":true}`, `{"rid":7,"msgid":[18]}`, `{"rid":7,"msgid":{"msgid":18}}`)
	add(0, "unknown msgid 0", `{"rid":7,"msgid":0}`)
	add(0, "unknown msgid -0", `{"rid":7,"msgid":-0}`)
	add(0, "unknown msgid 4294967302", `{"rid":7,"msgid":4294967302}`)
	add(0, "unknown msgid 18446744073709551622", `{"rid":7,"msgid":18446744073709551622}`)
	add(0, "unknown msgid "+long("9", 20), `{"rid":7,"msgid":`+long("9", 5000)+`}`)
	add(proto.OpCount, fmt.Sprintf("unknown msgid %d", proto.OpCount), fmt.Sprintf(`{"rid":7,"msgid":%d}`, proto.OpCount))
	add(-6, "unknown msgid -6", `{"rid":7,"msgid":-6,"toid":"x"}`)
	add(proto.LOGIN_ACK, "msgid 2 (LOGIN_ACK) is sent by servers only", `{"rid":7,"msgid":2}`)
	add(proto.ERROR, "msgid 17 (ERROR) is sent by servers only", `{"rid":7,"msgid":17,"errno":1,"errmsg":""}`)
	add(proto.PRESENCE, "msgid 24 (PRESENCE) is sent by servers only", `{"rid":7,"msgid":24}`)
	add(proto.PING, "rid"+wantInteger, `{"rid":"7","msgid":18}`, `{"rid":7.0,"msgid":18}`, `{"rid":7e0,"msgid":18}`, `{"rid":null,"msgid":18}`, `{"rid":9007199254740992,"msgid":18}`, `{"rid":-9007199254740992,"msgid":18}`, `{"rid":1e400,"msgid":18}`)

	// Invalid values of each kind of field.
	for _, f := range []struct {
		op        proto.Op
		key, rest string
	}{
		{proto.LOGIN, "id", `,"password":"secret"`}, {proto.ONE_CHAT, "toid", `,"msg":"m","cid":"c"`}, {proto.ONE_CHAT, "id", `,"toid":1,"msg":"m","cid":"c"`},
		{proto.ADD_FRIEND, "friendid", ``}, {proto.ADD_GROUP, "groupid", ``}, {proto.RECEIPT, "peer", `,"seq":1`}, {proto.RECEIPT, "seq", `,"peer":1`}, {proto.FIND_USER, "userid", ``},
	} {
		for _, v := range []string{"0", "-1", "-0", "9007199254740992", "99999999999999999999", `"1"`, "1.0", "1e0", "1E400", "null", "true", "[]", "{}"} {
			add(f.op, f.key+wantID, msg(f.op, `"`+f.key+`":`+v+f.rest))
		}
	}
	for _, key := range []string{"after", "before"} {
		for _, v := range []string{"-1", "9007199254740992", `""`, "0.0", "null"} {
			add(proto.SYNC, key+wantSeq, msg(proto.SYNC, `"peer":1,"`+key+`":`+v))
		}
	}
	for _, v := range []string{"9007199254740992", "-9007199254740992", `"5"`, "5.5", "null"} {
		add(proto.SYNC, "limit"+wantInteger, msg(proto.SYNC, `"peer":1,"limit":`+v))
	}
	for _, f := range []struct {
		op        proto.Op
		key, rest string
	}{
		{proto.LOGIN, "ack", `"token":"t"`}, {proto.LOGIN, "brief", `"token":"t"`}, {proto.ONE_CHAT, "retry", `"toid":1,"msg":"m","cid":"c"`},
		{proto.RECEIPT, "read", `"peer":1,"seq":1`}, {proto.BLOCK, "on", `"userid":1`},
	} {
		for _, v := range []string{"1", "0", `"true"`, "null", "[]"} {
			add(f.op, f.key+wantBoolean, msg(f.op, f.rest+`,"`+f.key+`":`+v))
		}
	}
	for _, f := range []struct {
		op         proto.Op
		key, rest  string
		empty      bool
		long, most string
	}{
		{proto.REG, "name", `,"password":"secret"`, false, long("字", 51), "50 characters, got 51"},
		{proto.FIND_USER, "name", ``, false, long("a", 51), "50 characters, got 51"},
		{proto.REG, "password", `,"name":"n"`, false, long("字", 129), "128 characters, got 129"},
		{proto.PASSWORD, "newpassword", `,"password":"p"`, false, long("p", 129), "128 characters, got 129"},
		{proto.LOGIN, "token", ``, false, long("t", 257), "256 bytes, got 257"},
		{proto.LOGIN, "device", `,"name":"n","password":"p"`, false, long("é", 65), "64 characters, got 65"},
		{proto.CREATE_GROUP, "groupname", `,"groupdesc":""`, false, long("g", 51), "50 characters, got 51"},
		{proto.CREATE_GROUP, "groupdesc", `,"groupname":"g"`, true, long("d", 201), "200 characters, got 201"},
		{proto.ONE_CHAT, "msg", `,"toid":1,"cid":"c"`, false, long("m", 32769), "32768 bytes, got 32769"},
		{proto.GROUP_CHAT, "cid", `,"groupid":1,"msg":"m"`, false, long("字", 21) + "ab", "64 bytes, got 65"},
		{proto.EVENT, "event", `,"toid":1`, false, long("e", 33), "32 characters, got 33"},
		{proto.EVENT, "data", `,"toid":1,"event":"e"`, true, long("é", 513), "1024 bytes, got 1026"},
	} {
		for _, v := range []string{"1", "null", "false", `["a"]`, `{"a":"b"}`} {
			add(f.op, f.key+wantString, msg(f.op, `"`+f.key+`":`+v+f.rest))
		}
		if !f.empty {
			add(f.op, f.key+" must not be empty", msg(f.op, `"`+f.key+`":""`+f.rest))
		}
		add(f.op, f.key+" must have at most "+f.most, msg(f.op, `"`+f.key+`":"`+f.long+`"`+f.rest))
	}

	// Messages that nobody can see.
	for _, text := range []string{" \n", "\u200b", "\u3164\u2800", "\ufe0f\u200d"} {
		add(proto.ONE_CHAT, "msg must not be empty: all of its characters are invisible", msg(proto.ONE_CHAT, `"msg":"`+strings.ReplaceAll(text, "\n", `\n`)+`","cid":"c","toid":1`))
		add(proto.GROUP_CHAT, "msg must not be empty: all of its characters are invisible", msg(proto.GROUP_CHAT, `"msg":"`+strings.ReplaceAll(text, "\n", `\n`)+`","cid":"c","groupid":1`))
	}

	// Missing fields, and fields that exclude each other.
	add(proto.LOGIN, "send either a token, or a password with an id or a name", `{"rid":7,"msgid":1}`, msg(proto.LOGIN, `"password":"secret"`))
	add(proto.LOGIN, "password is missing", msg(proto.LOGIN, `"id":1`), msg(proto.LOGIN, `"name":"n","device":"d"`))
	add(proto.LOGIN, "send either id or name, not both", msg(proto.LOGIN, `"id":1,"name":"n","password":"secret"`))
	add(proto.LOGIN, "token can't be combined with id, name or password", msg(proto.LOGIN, `"token":"t","id":1`), msg(proto.LOGIN, `"token":"t","name":"n"`), msg(proto.LOGIN, `"token":"t","password":"p"`))
	add(proto.REG, "name is missing", msg(proto.REG, `"password":"secret"`))
	add(proto.REG, "password is missing", msg(proto.REG, `"name":"n"`))
	add(proto.ONE_CHAT, "toid is missing", msg(proto.ONE_CHAT, `"msg":"m","cid":"c"`))
	add(proto.ONE_CHAT, "msg is missing", msg(proto.ONE_CHAT, `"toid":1,"cid":"c"`))
	add(proto.ONE_CHAT, "cid is missing", msg(proto.ONE_CHAT, `"toid":1,"msg":"m"`))
	add(proto.ADD_FRIEND, "friendid is missing", msg(proto.ADD_FRIEND, `"id":1`))
	add(proto.CREATE_GROUP, "groupname is missing", msg(proto.CREATE_GROUP, `"groupdesc":""`))
	add(proto.CREATE_GROUP, "groupdesc is missing", msg(proto.CREATE_GROUP, `"groupname":"g"`))
	add(proto.ADD_GROUP, "groupid is missing", msg(proto.ADD_GROUP, `"id":1`))
	add(proto.GROUP_CHAT, "groupid is missing", msg(proto.GROUP_CHAT, `"msg":"m","cid":"c"`))
	add(proto.GROUP_CHAT, "msg is missing", msg(proto.GROUP_CHAT, `"groupid":1,"cid":"c"`))
	add(proto.GROUP_CHAT, "cid is missing", msg(proto.GROUP_CHAT, `"groupid":1,"msg":"m"`))
	add(proto.RECEIPT, "seq is missing", msg(proto.RECEIPT, `"peer":1`))
	add(proto.RECEIPT, "peer or groupid is missing", msg(proto.RECEIPT, `"seq":1`))
	add(proto.RECEIPT, "send either peer or groupid, not both", msg(proto.RECEIPT, `"seq":1,"peer":1,"groupid":1`))
	add(proto.SYNC, "peer or groupid is missing", msg(proto.SYNC, `"after":1`))
	add(proto.SYNC, "send either peer or groupid, not both", msg(proto.SYNC, `"peer":1,"groupid":1`))
	add(proto.EVENT, "event is missing", msg(proto.EVENT, `"toid":1`))
	add(proto.EVENT, "toid or groupid is missing", msg(proto.EVENT, `"event":"e"`))
	add(proto.EVENT, "send either toid or groupid, not both", msg(proto.EVENT, `"event":"e","toid":1,"groupid":1`))
	add(proto.DEL_FRIEND, "friendid is missing", msg(proto.DEL_FRIEND, `"id":1`))
	add(proto.LEAVE_GROUP, "groupid is missing", msg(proto.LEAVE_GROUP, `"id":1`))
	add(proto.KICK_MEMBER, "groupid is missing", msg(proto.KICK_MEMBER, `"userid":1`))
	add(proto.KICK_MEMBER, "userid is missing", msg(proto.KICK_MEMBER, `"groupid":1`))
	add(proto.DISMISS_GROUP, "groupid is missing", msg(proto.DISMISS_GROUP, `"id":1`))
	add(proto.BLOCK, "userid is missing", msg(proto.BLOCK, `"on":true`))
	add(proto.BLOCK, "on is missing", msg(proto.BLOCK, `"userid":1`))
	add(proto.FIND_USER, "name or userid is missing", msg(proto.FIND_USER, `"id":1`))
	add(proto.FIND_USER, "send either name or userid, not both", msg(proto.FIND_USER, `"name":"n","userid":1`))
	add(proto.PASSWORD, "password is missing", msg(proto.PASSWORD, `"newpassword":"secret"`))
	add(proto.PASSWORD, "newpassword is missing", msg(proto.PASSWORD, `"password":"secret"`))
	add(proto.GROUP_USERS, "groupid is missing", msg(proto.GROUP_USERS, `"after":1`))
	return all
}
