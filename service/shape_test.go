package service_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"chatd/proto"
)

// shape has the keys of a frame that a server sends, besides msgid and rid. Of
// keys joined by |, the frame has exactly one. Keys with ? may be missing.
type shape struct {
	always  string // in any case
	success string // in addition, if errno is 0
}

var shapes = map[proto.Op]shape{
	proto.LOGIN_ACK:         {"errno errmsg", "id name device token node window epoch features friends? groups? offlinemsg more"},
	proto.REG_ACK:           {"errno errmsg", "id"},
	proto.ONE_CHAT:          {"id name toid msg time seq cid", ""},
	proto.ADD_FRIEND:        {"id name", ""},
	proto.ADD_GROUP:         {"groupid id name", ""},
	proto.GROUP_CHAT:        {"id name groupid msg time seq cid", ""},
	proto.LOGOUT_ACK:        {"errno", ""},
	proto.ONE_CHAT_ACK:      {"errno errmsg cid toid", "seq time"},
	proto.ADD_FRIEND_ACK:    {"errno errmsg friendid", "name state"},
	proto.CREATE_GROUP_ACK:  {"errno errmsg", "groupid"},
	proto.ADD_GROUP_ACK:     {"errno errmsg groupid", "groupname groupdesc users|count seq"},
	proto.GROUP_CHAT_ACK:    {"errno errmsg cid groupid", "seq time"},
	proto.ERROR:             {"errno errmsg", ""},
	proto.PONG:              {"", ""},
	proto.RECEIPT:           {"peer|groupid id seq read", ""},
	proto.SYNC_ACK:          {"errno errmsg peer|groupid", "messages first last more"},
	proto.KICK:              {"reason errmsg retry_after_ms?", ""},
	proto.PRESENCE:          {"id state", ""},
	proto.EVENT:             {"toid|groupid event data? id name", ""},
	proto.DEL_FRIEND:        {"id", ""},
	proto.DEL_FRIEND_ACK:    {"errno friendid", ""},
	proto.LEAVE_GROUP:       {"groupid id", ""},
	proto.LEAVE_GROUP_ACK:   {"errno groupid", ""},
	proto.KICK_MEMBER_ACK:   {"errno groupid userid", ""},
	proto.DISMISS_GROUP:     {"groupid", ""},
	proto.DISMISS_GROUP_ACK: {"errno groupid", ""},
	proto.BLOCK:             {"userid on", ""},
	proto.BLOCK_ACK:         {"errno userid on", ""},
	proto.FIND_USER_ACK:     {"errno", "id name state?"},
	proto.PASSWORD_ACK:      {"errno", "token"},
	proto.GROUP_USERS_ACK:   {"errno groupid", "users more"},
	proto.CONVERSATIONS_ACK: {"errno", "conversations more"},
}

// entries has the keys of the elements of lists.
var entries = map[string]string{
	"friends":       "id name state",
	"groups":        "id groupname groupdesc seq users|count",
	"users":         "id name state role",
	"conversations": "peer|groupid name gone? first last read time message?",
}

// shapeError returns an error if a frame has other keys than its shape.
func shapeError(f frame) error {
	s, ok := shapes[f.op()]
	if !ok {
		return fmt.Errorf("a server must not send op %v", f.op())
	}
	want := "msgid rid? " + s.always
	switch {
	case !f.has("errno"):
	case f.int("errno") == 0 && f.op() != proto.ERROR:
		want += " " + s.success
	default:
		// Every refusal has errmsg.
		want += " errmsg retry_after_ms?"
		if proto.Errno(f.int("errno")) == proto.TooFast {
			want = strings.TrimSuffix(want, "?")
		}
		if f.str("errmsg") == "" {
			return fmt.Errorf("a refusal has an empty errmsg")
		}
	}
	if err := keys(f, want); err != nil {
		return err
	}
	for key, want := range entries {
		for _, e := range f.list(key) {
			if err := keys(e, want); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			for _, u := range e.list("users") {
				if err := keys(u, entries["users"]); err != nil {
					return fmt.Errorf("users: %w", err)
				}
			}
			if e.has("message") {
				if err := itemError(e.obj("message")); err != nil {
					return err
				}
			}
		}
	}
	for _, key := range []string{"offlinemsg", "messages"} {
		for _, m := range f.list(key) {
			if m.op() != proto.ONE_CHAT && m.op() != proto.GROUP_CHAT || m.has("rid") {
				return fmt.Errorf("%s has %v, want only ONE_CHAT and GROUP_CHAT without rid", key, m)
			}
			if err := itemError(m); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil
}

// itemError is shapeError for a message in a list, which may have "gone".
func itemError(m frame) error {
	if m.bool("gone") {
		m = maps.Clone(m)
		delete(m, "gone")
	}
	return shapeError(m)
}

// keys returns an error if f has other keys than want.
func keys(f frame, want string) error {
	left := maps.Clone(f)
	for _, w := range strings.Fields(want) {
		k, may := strings.CutSuffix(w, "?")
		n := 0
		for one := range strings.SplitSeq(k, "|") {
			if f.has(one) {
				n++
				delete(left, one)
			}
		}
		if n > 1 || n == 0 && !may {
			return fmt.Errorf("the frame has %d of the keys %q, want one", n, k)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("the frame has keys that the protocol doesn't have: %v", slices.Sorted(maps.Keys(left)))
	}
	return nil
}
