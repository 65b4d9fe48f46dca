// Package prototest has a test case for each op and direction, and one for each
// reason why the decoder refuses a frame. The codec's tests use them, and tests
// of other packages that send or expect these messages. Only tests import it.
package prototest

import "chatd/proto"

// Request is a client's message and its bytes on the wire.
type Request struct {
	Name    string
	Wire    string
	Request proto.Request // Fields as decoding sets it
}

// Response is a server's message and its bytes on the wire.
type Response struct {
	Name     string
	Wire     string
	Response proto.Response // Fields has at most FRID
}

func fields(fs ...proto.Field) (s proto.Fields) {
	for _, f := range fs {
		s |= 1 << f
	}
	return s
}

// Requests returns every message that a client sends, in every form.
func Requests() []Request {
	return []Request{
		{"login by name", `{"msgid":1,"rid":1,"name":"zhang san","password":"secret"}`,
			proto.Request{Op: proto.LOGIN, Fields: fields(proto.FRID, proto.FName, proto.FPassword), RID: 1, Name: "zhang san", Password: "secret"}},
		{"login by id", `{"msgid":1,"id":22,"password":"secret","device":"phone","ack":true,"brief":true}`,
			proto.Request{Op: proto.LOGIN, Fields: fields(proto.FID, proto.FPassword, proto.FDevice, proto.FAck, proto.FBrief), ID: 22, Password: "secret", Device: "phone", Ack: true, Brief: true}},
		{"login by token", `{"msgid":1,"rid":-5,"token":"abc_-","ack":false}`,
			proto.Request{Op: proto.LOGIN, Fields: fields(proto.FRID, proto.FToken, proto.FAck), RID: -5, Token: "abc_-"}},
		{"logout", `{"msgid":3}`, proto.Request{Op: proto.LOGOUT}},
		{"reg", `{"msgid":4,"rid":0,"name":"李四","password":"пароль"}`,
			proto.Request{Op: proto.REG, Fields: fields(proto.FRID, proto.FName, proto.FPassword), Name: "李四", Password: "пароль"}},
		{"reg with a code", `{"msgid":4,"name":"li","password":"secret","code":"K3X5QZ2VJ7M4N6P8R9S2T4U6W8"}`,
			proto.Request{Op: proto.REG, Fields: fields(proto.FName, proto.FPassword, proto.FCode), Name: "li", Password: "secret", Code: "K3X5QZ2VJ7M4N6P8R9S2T4U6W8"}},
		{"one chat", `{"msgid":6,"rid":9007199254740991,"toid":9007199254740991,"msg":"你好世界, it's \"me\"\\\n\u0001","cid":"c-1"}`,
			proto.Request{Op: proto.ONE_CHAT, Fields: fields(proto.FRID, proto.FToID, proto.FMsg, proto.FCID), RID: proto.MaxID, ToID: proto.MaxID, Msg: []byte("你好世界, it's \"me\"\\\n\x01"), CID: []byte("c-1")}},
		{"one chat again", `{"msgid":6,"id":1,"toid":2,"msg":"hi","cid":"c-1","retry":true}`,
			proto.Request{Op: proto.ONE_CHAT, Fields: fields(proto.FID, proto.FToID, proto.FMsg, proto.FCID, proto.FRetry), ID: 1, ToID: 2, Msg: []byte("hi"), CID: []byte("c-1"), Retry: true}},
		{"add friend", `{"msgid":7,"friendid":2}`, proto.Request{Op: proto.ADD_FRIEND, Fields: fields(proto.FFriendID), FriendID: 2}},
		{"create group", `{"msgid":8,"groupname":"go","groupdesc":""}`,
			proto.Request{Op: proto.CREATE_GROUP, Fields: fields(proto.FGroupName, proto.FGroupDesc), GroupName: "go"}},
		{"add group", `{"msgid":9,"groupid":3}`, proto.Request{Op: proto.ADD_GROUP, Fields: fields(proto.FGroupID), GroupID: 3}},
		{"group chat", `{"msgid":10,"rid":2,"groupid":3,"msg":"hi all","cid":"c-2"}`,
			proto.Request{Op: proto.GROUP_CHAT, Fields: fields(proto.FRID, proto.FGroupID, proto.FMsg, proto.FCID), RID: 2, GroupID: 3, Msg: []byte("hi all"), CID: []byte("c-2")}},
		{"group chat again", `{"msgid":10,"id":1,"groupid":3,"msg":"hi all","cid":"c-2","retry":true}`,
			proto.Request{Op: proto.GROUP_CHAT, Fields: fields(proto.FID, proto.FGroupID, proto.FMsg, proto.FCID, proto.FRetry), ID: 1, GroupID: 3, Msg: []byte("hi all"), CID: []byte("c-2"), Retry: true}},
		{"ping", `{"msgid":18,"rid":3}`, proto.Request{Op: proto.PING, Fields: fields(proto.FRID), RID: 3}},
		{"pong", `{"msgid":19}`, proto.Request{Op: proto.PONG}},
		{"receipt of a peer", `{"msgid":20,"peer":2,"seq":7,"read":true}`,
			proto.Request{Op: proto.RECEIPT, Fields: fields(proto.FPeer, proto.FSeq, proto.FRead), Peer: 2, Seq: 7, Read: true}},
		{"receipt of a group", `{"msgid":20,"groupid":3,"seq":7}`,
			proto.Request{Op: proto.RECEIPT, Fields: fields(proto.FGroupID, proto.FSeq), GroupID: 3, Seq: 7}},
		{"sync after", `{"msgid":21,"rid":1,"peer":2,"after":0,"limit":200}`,
			proto.Request{Op: proto.SYNC, Fields: fields(proto.FRID, proto.FPeer, proto.FAfter, proto.FLimit), RID: 1, Peer: 2, Limit: 200}},
		{"sync before", `{"msgid":21,"groupid":3,"before":9}`,
			proto.Request{Op: proto.SYNC, Fields: fields(proto.FGroupID, proto.FBefore), GroupID: 3, Before: 9}},
		{"sync the last page", `{"msgid":21,"peer":2}`, proto.Request{Op: proto.SYNC, Fields: fields(proto.FPeer), Peer: 2}},
		{"event to a user", `{"msgid":25,"toid":2,"event":"typing"}`,
			proto.Request{Op: proto.EVENT, Fields: fields(proto.FToID, proto.FEvent), ToID: 2, Event: []byte("typing")}},
		{"event to a group", `{"msgid":25,"groupid":3,"event":"typing","data":""}`,
			proto.Request{Op: proto.EVENT, Fields: fields(proto.FGroupID, proto.FEvent, proto.FData), GroupID: 3, Event: []byte("typing"), Data: []byte{}}},
		{"del friend", `{"msgid":26,"friendid":2}`, proto.Request{Op: proto.DEL_FRIEND, Fields: fields(proto.FFriendID), FriendID: 2}},
		{"leave group", `{"msgid":28,"groupid":3}`, proto.Request{Op: proto.LEAVE_GROUP, Fields: fields(proto.FGroupID), GroupID: 3}},
		{"kick member", `{"msgid":30,"groupid":3,"userid":2}`,
			proto.Request{Op: proto.KICK_MEMBER, Fields: fields(proto.FGroupID, proto.FUserID), GroupID: 3, UserID: 2}},
		{"dismiss group", `{"msgid":32,"groupid":3}`, proto.Request{Op: proto.DISMISS_GROUP, Fields: fields(proto.FGroupID), GroupID: 3}},
		{"block", `{"msgid":34,"userid":2,"on":true}`, proto.Request{Op: proto.BLOCK, Fields: fields(proto.FUserID, proto.FOn), UserID: 2, On: true}},
		{"unblock", `{"msgid":34,"userid":2,"on":false}`, proto.Request{Op: proto.BLOCK, Fields: fields(proto.FUserID, proto.FOn), UserID: 2}},
		{"find user by name", `{"msgid":36,"name":"李四"}`, proto.Request{Op: proto.FIND_USER, Fields: fields(proto.FName), Name: "李四"}},
		{"find user by id", `{"msgid":36,"userid":2}`, proto.Request{Op: proto.FIND_USER, Fields: fields(proto.FUserID), UserID: 2}},
		{"password", `{"msgid":38,"password":"secret","newpassword":"secret2"}`,
			proto.Request{Op: proto.PASSWORD, Fields: fields(proto.FPassword, proto.FNewPassword), Password: "secret", NewPassword: "secret2"}},
		{"group users", `{"msgid":40,"groupid":3,"after":200}`,
			proto.Request{Op: proto.GROUP_USERS, Fields: fields(proto.FGroupID, proto.FAfter), GroupID: 3, After: 200}},
		{"conversations", `{"msgid":42}`, proto.Request{Op: proto.CONVERSATIONS}},
		{"conversations before", `{"msgid":42,"before":1700000000000,"limit":-1}`,
			proto.Request{Op: proto.CONVERSATIONS, Fields: fields(proto.FBefore, proto.FLimit), Before: 1700000000000, Limit: -1}},
	}
}

// Responses returns every message that a server sends. Answers are there both as a
// success and as a refusal.
func Responses() []Response {
	rid := fields(proto.FRID)
	chat := proto.Chat{Op: proto.ONE_CHAT, ID: 1, Name: "li", ToID: 2, Msg: "hi", Time: 1700000000000, Seq: 7, CID: "c-1"}
	said := proto.Chat{Op: proto.GROUP_CHAT, ID: 1, Name: "li", GroupID: 3, Msg: "hi \"all\"\n", Time: 1700000000001, Seq: 8, CID: "c-2"}
	const chatWire = `{"msgid":6,"id":1,"name":"li","toid":2,"msg":"hi","time":1700000000000,"seq":7,"cid":"c-1"}`
	const saidWire = `{"msgid":10,"id":1,"name":"li","groupid":3,"msg":"hi \"all\"\n","time":1700000000001,"seq":8,"cid":"c-2"}`
	gone := chat
	gone.Gone = true
	const goneWire = `{"msgid":6,"id":1,"name":"li","toid":2,"msg":"hi","time":1700000000000,"seq":7,"cid":"c-1","gone":true}`
	member := proto.Member{ID: 2, Name: "四", State: proto.Online, Role: proto.Creator}
	const memberWire = `{"id":2,"name":"四","state":"online","role":"creator"}`
	return []Response{
		{"login done", `{"msgid":2,"rid":1,"errno":0,"errmsg":"","id":22,"name":"li","token":"t","device":"phone","node":"n1","window":256,"epoch":4,"features":["register"]` +
			`,"friends":[{"id":2,"name":"四","state":"offline"}],"groups":[{"id":3,"groupname":"go","groupdesc":"d","seq":9,"users":[` + memberWire + `]}` +
			`,{"id":4,"groupname":"big","groupdesc":"","seq":0,"count":5000}],"offlinemsg":[` + chatWire + `,` + saidWire + `],"more":true}`,
			proto.Response{Op: proto.LOGIN_ACK, Fields: rid, RID: 1, ID: 22, Name: "li", Token: "t", Device: "phone", Node: "n1", Window: 256, Epoch: 4, Features: []string{proto.FeatureRegister},
				Friends: []proto.Friend{{ID: 2, Name: "四", State: proto.Offline}},
				Groups: []proto.Group{{ID: 3, GroupName: "go", GroupDesc: "d", Seq: 9, Users: []proto.Member{member}},
					{ID: 4, GroupName: "big", Count: 5000}},
				Offline: []proto.Chat{chat, said}, More: true}},
		{"login done, brief", `{"msgid":2,"errno":0,"errmsg":"","id":22,"name":"li","token":"t","device":"phone","node":"n1","window":256,"epoch":4,"features":[],"offlinemsg":[],"more":false}`,
			proto.Response{Op: proto.LOGIN_ACK, ID: 22, Name: "li", Token: "t", Device: "phone", Node: "n1", Window: 256, Epoch: 4, Features: []string{}}},
		{"login done, all lists empty", `{"msgid":2,"errno":0,"errmsg":"","id":22,"name":"li","token":"t","device":"phone","node":"n1","window":256,"epoch":4,"features":[],"friends":[],"groups":[],"offlinemsg":[],"more":false}`,
			proto.Response{Op: proto.LOGIN_ACK, ID: 22, Name: "li", Token: "t", Device: "phone", Node: "n1", Window: 256, Epoch: 4, Features: []string{}, Friends: []proto.Friend{}, Groups: []proto.Group{}}},
		{"login refused", `{"msgid":2,"errno":1,"errmsg":"wrong ID, name, password or token"}`, proto.Response{Op: proto.LOGIN_ACK, Errno: proto.Refused, ErrMsg: "wrong ID, name, password or token", ID: 22}},
		{"login too fast", `{"msgid":2,"rid":8,"errno":9,"errmsg":"too many requests; try again later","retry_after_ms":1500}`,
			proto.Response{Op: proto.LOGIN_ACK, Fields: rid, RID: 8, Errno: proto.TooFast, ErrMsg: "too many requests; try again later", RetryAfter: 1500}},
		{"reg done", `{"msgid":5,"errno":0,"errmsg":"","id":22}`, proto.Response{Op: proto.REG_ACK, ID: 22}},
		{"reg refused", `{"msgid":5,"errno":1,"errmsg":"the name is taken; choose another one"}`, proto.Response{Op: proto.REG_ACK, Errno: proto.Refused, ErrMsg: "the name is taken; choose another one"}},
		{"one chat", chatWire, proto.Response{Op: proto.ONE_CHAT, ID: 1, Name: "li", ToID: 2, Msg: []byte("hi"), Time: 1700000000000, Seq: 7, CID: []byte("c-1")}},
		{"add friend", `{"msgid":7,"id":2,"name":"四"}`, proto.Response{Op: proto.ADD_FRIEND, ID: 2, Name: "四"}},
		{"add group", `{"msgid":9,"id":2,"name":"四","groupid":3}`, proto.Response{Op: proto.ADD_GROUP, GroupID: 3, ID: 2, Name: "四"}},
		{"group chat", saidWire, proto.Response{Op: proto.GROUP_CHAT, ID: 1, Name: "li", GroupID: 3, Msg: []byte("hi \"all\"\n"), Time: 1700000000001, Seq: 8, CID: []byte("c-2")}},
		{"logout done", `{"msgid":11,"errno":0}`, proto.Response{Op: proto.LOGOUT_ACK}},
		{"logout refused", `{"msgid":11,"rid":1,"errno":3,"errmsg":"not logged in; log in first"}`,
			proto.Response{Op: proto.LOGOUT_ACK, Fields: rid, RID: 1, Errno: proto.NotLoggedIn, ErrMsg: "not logged in; log in first"}},
		{"one chat done", `{"msgid":12,"rid":1,"errno":0,"errmsg":"","toid":2,"time":1700000000000,"seq":7,"cid":"c-1"}`,
			proto.Response{Op: proto.ONE_CHAT_ACK, Fields: rid, RID: 1, ToID: 2, Time: 1700000000000, Seq: 7, CID: []byte("c-1")}},
		{"one chat refused", `{"msgid":12,"errno":9,"errmsg":"too many requests; try again later","retry_after_ms":20,"toid":2,"cid":"c-1"}`,
			proto.Response{Op: proto.ONE_CHAT_ACK, Errno: proto.TooFast, ErrMsg: "too many requests; try again later", RetryAfter: 20, ToID: 2, CID: []byte("c-1")}},
		{"add friend done", `{"msgid":13,"errno":0,"errmsg":"","name":"四","friendid":2,"state":"online"}`,
			proto.Response{Op: proto.ADD_FRIEND_ACK, FriendID: 2, Name: "四", State: proto.Online}},
		{"add friend refused", `{"msgid":13,"errno":7,"errmsg":"user 2 is already your friend","friendid":2}`,
			proto.Response{Op: proto.ADD_FRIEND_ACK, Errno: proto.AlreadySo, ErrMsg: "user 2 is already your friend", FriendID: 2}},
		{"create group done", `{"msgid":14,"errno":0,"errmsg":"","groupid":3}`, proto.Response{Op: proto.CREATE_GROUP_ACK, GroupID: 3}},
		{"create group refused", `{"msgid":14,"errno":13,"errmsg":"you are in as many groups as a user can be; leave one first"}`, proto.Response{Op: proto.CREATE_GROUP_ACK, Errno: proto.LimitFull, ErrMsg: "you are in as many groups as a user can be; leave one first"}},
		{"add group done", `{"msgid":15,"errno":0,"errmsg":"","groupid":3,"groupname":"go","groupdesc":"","seq":0,"users":[` + memberWire + `]}`,
			proto.Response{Op: proto.ADD_GROUP_ACK, GroupID: 3, GroupName: "go", Users: []proto.Member{member}}},
		{"add group done, a large one", `{"msgid":15,"errno":0,"errmsg":"","groupid":3,"groupname":"go","groupdesc":"d","seq":9,"count":5000}`,
			proto.Response{Op: proto.ADD_GROUP_ACK, GroupID: 3, GroupName: "go", GroupDesc: "d", Seq: 9, Count: 5000}},
		{"add group refused", `{"msgid":15,"errno":5,"errmsg":"no group has the ID 3; it may have been dismissed","groupid":3}`,
			proto.Response{Op: proto.ADD_GROUP_ACK, Errno: proto.NotFound, ErrMsg: "no group has the ID 3; it may have been dismissed", GroupID: 3}},
		{"group chat done", `{"msgid":16,"errno":0,"errmsg":"","groupid":3,"time":1700000000001,"seq":8,"cid":"c-2"}`,
			proto.Response{Op: proto.GROUP_CHAT_ACK, GroupID: 3, Time: 1700000000001, Seq: 8, CID: []byte("c-2")}},
		{"group chat refused", `{"msgid":16,"rid":3,"errno":6,"errmsg":"you are not a member of group 3","groupid":3,"cid":"c-2"}`,
			proto.Response{Op: proto.GROUP_CHAT_ACK, Fields: rid, RID: 3, Errno: proto.NotAllowed, ErrMsg: "you are not a member of group 3", GroupID: 3, CID: []byte("c-2")}},
		{"error", `{"msgid":17,"rid":-1,"errno":4,"errmsg":"msg must not be empty"}`,
			proto.Response{Op: proto.ERROR, Fields: rid, RID: -1, Errno: proto.BadRequest, ErrMsg: "msg must not be empty"}},
		{"ping", `{"msgid":18}`, proto.Response{Op: proto.PING}},
		{"pong", `{"msgid":19,"rid":0}`, proto.Response{Op: proto.PONG, Fields: rid}},
		{"receipt of a peer", `{"msgid":20,"id":1,"peer":2,"seq":7,"read":true}`, proto.Response{Op: proto.RECEIPT, ID: 1, Peer: 2, Seq: 7, Read: true}},
		{"receipt of a group", `{"msgid":20,"id":1,"groupid":3,"seq":7,"read":true}`, proto.Response{Op: proto.RECEIPT, ID: 1, GroupID: 3, Seq: 7, Read: true}},
		{"sync done", `{"msgid":22,"errno":0,"errmsg":"","peer":2,"first":1,"last":9,"messages":[` + chatWire + `],"more":true}`,
			proto.Response{Op: proto.SYNC_ACK, Peer: 2, First: 1, Last: 9, Messages: []proto.Chat{chat}, More: true}},
		{"sync done, account deleted", `{"msgid":22,"errno":0,"errmsg":"","peer":1,"first":1,"last":7,"messages":[` + goneWire + `],"more":false}`,
			proto.Response{Op: proto.SYNC_ACK, Peer: 1, First: 1, Last: 7, Messages: []proto.Chat{gone}}},
		{"sync done, never spoke", `{"msgid":22,"errno":0,"errmsg":"","peer":2,"first":0,"last":0,"messages":[],"more":false}`,
			proto.Response{Op: proto.SYNC_ACK, Peer: 2}},
		{"sync refused", `{"msgid":22,"errno":6,"errmsg":"you are not a member of group 3","groupid":3}`,
			proto.Response{Op: proto.SYNC_ACK, Errno: proto.NotAllowed, ErrMsg: "you are not a member of group 3", GroupID: 3}},
		{"kick", `{"msgid":23,"errmsg":"this node is shutting down; reconnect","retry_after_ms":700,"reason":"draining"}`,
			proto.Response{Op: proto.KICK, Reason: proto.Draining, ErrMsg: "this node is shutting down; reconnect", RetryAfter: 700}},
		{"kick for good", `{"msgid":23,"errmsg":"a later login with the same device name has replaced this session","reason":"replaced"}`,
			proto.Response{Op: proto.KICK, Reason: proto.Replaced, ErrMsg: "a later login with the same device name has replaced this session"}},
		{"presence", `{"msgid":24,"id":2,"state":"offline"}`, proto.Response{Op: proto.PRESENCE, ID: 2, State: proto.Offline}},
		{"event from a user", `{"msgid":25,"id":1,"name":"li","toid":2,"event":"typing"}`,
			proto.Response{Op: proto.EVENT, ID: 1, Name: "li", ToID: 2, Event: []byte("typing")}},
		{"event from a group", `{"msgid":25,"id":1,"name":"li","groupid":3,"event":"typing","data":"{\"x\":1}"}`,
			proto.Response{Op: proto.EVENT, ID: 1, Name: "li", GroupID: 3, Event: []byte("typing"), Data: []byte(`{"x":1}`)}},
		{"del friend", `{"msgid":26,"id":2}`, proto.Response{Op: proto.DEL_FRIEND, ID: 2}},
		{"del friend done", `{"msgid":27,"errno":0,"friendid":2}`, proto.Response{Op: proto.DEL_FRIEND_ACK, FriendID: 2}},
		{"del friend refused", `{"msgid":27,"errno":5,"errmsg":"no user has the ID 2","friendid":2}`,
			proto.Response{Op: proto.DEL_FRIEND_ACK, Errno: proto.NotFound, ErrMsg: "no user has the ID 2", FriendID: 2}},
		{"leave group", `{"msgid":28,"id":2,"groupid":3}`, proto.Response{Op: proto.LEAVE_GROUP, ID: 2, GroupID: 3}},
		{"leave group done", `{"msgid":29,"errno":0,"groupid":3}`, proto.Response{Op: proto.LEAVE_GROUP_ACK, GroupID: 3}},
		{"leave group refused", `{"msgid":29,"errno":6,"errmsg":"you can't leave group 3: you are not a member, or you created it and can only delete it","groupid":3}`,
			proto.Response{Op: proto.LEAVE_GROUP_ACK, Errno: proto.NotAllowed, ErrMsg: "you can't leave group 3: you are not a member, or you created it and can only delete it", GroupID: 3}},
		{"kick member done", `{"msgid":31,"errno":0,"groupid":3,"userid":2}`, proto.Response{Op: proto.KICK_MEMBER_ACK, GroupID: 3, UserID: 2}},
		{"kick member refused", `{"msgid":31,"errno":6,"errmsg":"you can't remove user 2 from group 3: only its creator can, and only other members","groupid":3,"userid":2}`,
			proto.Response{Op: proto.KICK_MEMBER_ACK, Errno: proto.NotAllowed, ErrMsg: "you can't remove user 2 from group 3: only its creator can, and only other members", GroupID: 3, UserID: 2}},
		{"dismiss group", `{"msgid":32,"groupid":3}`, proto.Response{Op: proto.DISMISS_GROUP, GroupID: 3}},
		{"dismiss group done", `{"msgid":33,"errno":0,"groupid":3}`, proto.Response{Op: proto.DISMISS_GROUP_ACK, GroupID: 3}},
		{"dismiss group refused", `{"msgid":33,"errno":6,"errmsg":"only the creator of group 3 can delete it","groupid":3}`,
			proto.Response{Op: proto.DISMISS_GROUP_ACK, Errno: proto.NotAllowed, ErrMsg: "only the creator of group 3 can delete it", GroupID: 3}},
		{"block", `{"msgid":34,"userid":2,"on":true}`, proto.Response{Op: proto.BLOCK, UserID: 2, On: true}},
		{"block done", `{"msgid":35,"errno":0,"userid":2,"on":true}`, proto.Response{Op: proto.BLOCK_ACK, UserID: 2, On: true}},
		{"unblock refused", `{"msgid":35,"errno":5,"errmsg":"no user has the ID 2","userid":2,"on":false}`,
			proto.Response{Op: proto.BLOCK_ACK, Errno: proto.NotFound, ErrMsg: "no user has the ID 2", UserID: 2}},
		{"find user done", `{"msgid":37,"errno":0,"id":2,"name":"四","state":"online"}`,
			proto.Response{Op: proto.FIND_USER_ACK, ID: 2, Name: "四", State: proto.Online}},
		{"find user done, no friend", `{"msgid":37,"errno":0,"id":2,"name":"四"}`, proto.Response{Op: proto.FIND_USER_ACK, ID: 2, Name: "四"}},
		{"find user refused", `{"msgid":37,"errno":5,"errmsg":"no user has this name"}`,
			proto.Response{Op: proto.FIND_USER_ACK, Errno: proto.NotFound, ErrMsg: "no user has this name"}},
		{"password done", `{"msgid":39,"errno":0,"token":"t2"}`, proto.Response{Op: proto.PASSWORD_ACK, Token: "t2"}},
		{"password refused", `{"msgid":39,"errno":1,"errmsg":"wrong ID, name, password or token"}`,
			proto.Response{Op: proto.PASSWORD_ACK, Errno: proto.Refused, ErrMsg: "wrong ID, name, password or token"}},
		{"group users done", `{"msgid":41,"errno":0,"groupid":3,"users":[` + memberWire + `],"more":true}`,
			proto.Response{Op: proto.GROUP_USERS_ACK, GroupID: 3, Users: []proto.Member{member}, More: true}},
		{"group users refused", `{"msgid":41,"errno":6,"errmsg":"you are not a member of group 3","groupid":3}`,
			proto.Response{Op: proto.GROUP_USERS_ACK, Errno: proto.NotAllowed, ErrMsg: "you are not a member of group 3", GroupID: 3}},
		{"conversations done", `{"msgid":43,"errno":0,"conversations":[` +
			`{"peer":2,"name":"四","first":1,"last":7,"read":6,"time":1700000000000,"message":` + chatWire + `}` +
			`,{"groupid":3,"name":"go","first":4,"last":3,"read":0,"time":1600000000000}],"more":false}`,
			proto.Response{Op: proto.CONVERSATIONS_ACK, Conversations: []proto.Conversation{
				{Peer: 2, Name: "四", First: 1, Last: 7, Read: 6, Time: 1700000000000, Message: &chat},
				{GroupID: 3, Name: "go", First: 4, Last: 3, Time: 1600000000000}}}},
		{"conversations done, account deleted", `{"msgid":43,"errno":0,"conversations":[` +
			`{"peer":1,"name":"li","gone":true,"first":1,"last":7,"read":6,"time":1700000000000,"message":` + goneWire + `}],"more":false}`,
			proto.Response{Op: proto.CONVERSATIONS_ACK, Conversations: []proto.Conversation{
				{Peer: 1, Name: "li", Gone: true, First: 1, Last: 7, Read: 6, Time: 1700000000000, Message: &gone}}}},
		{"conversations refused", `{"msgid":43,"errno":4,"errmsg":"limit must be 1 to 100, got 0"}`,
			proto.Response{Op: proto.CONVERSATIONS_ACK, Errno: proto.BadRequest, ErrMsg: "limit must be 1 to 100, got 0"}},
	}
}
