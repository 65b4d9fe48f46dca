package service_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"chatd/proto"
)

// shape is a row of the protocol's table, for what a server sends: the keys
// besides msgid and rid. Of those joined by | exactly one stands; those with
// ? may be missing.
type shape struct {
	always  string // in success and refusal
	success string // besides, where errno is 0
}

var shapes = map[proto.Op]shape{
	proto.LOGIN_ACK:         {"errno errmsg", "id name device token node window epoch friends? groups? offlinemsg more"},
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

// entries are the rows for what stands in lists.
var entries = map[string]string{
	"friends":       "id name state",
	"groups":        "id groupname groupdesc seq users|count",
	"users":         "id name state role",
	"conversations": "peer|groupid name first last read time message?",
}

// shapeError says what keys a frame of the server has too many or too few.
func shapeError(f frame) error {
	s, ok := shapes[f.op()]
	if !ok {
		return fmt.Errorf("no server sends this")
	}
	want := "msgid rid? " + s.always
	switch {
	case !f.has("errno"):
	case f.int("errno") == 0 && f.op() != proto.ERROR:
		want += " " + s.success
	default:
		// A refusal says why, where the table doesn't list it too.
		want += " errmsg retry_after_ms?"
		if proto.Errno(f.int("errno")) == proto.TooFast {
			want = strings.TrimSuffix(want, "?")
		}
		if f.str("errmsg") == "" {
			return fmt.Errorf("a refusal without words")
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
				if err := shapeError(e.obj("message")); err != nil {
					return err
				}
			}
		}
	}
	for _, key := range []string{"offlinemsg", "messages"} {
		for _, m := range f.list(key) {
			if m.op() != proto.ONE_CHAT && m.op() != proto.GROUP_CHAT || m.has("rid") {
				return fmt.Errorf("%s has %v", key, m)
			}
			if err := shapeError(m); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil
}

// keys holds the keys of f against want.
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
			return fmt.Errorf("%d of %q", n, k)
		}
	}
	if len(left) > 0 {
		return fmt.Errorf("not in the protocol: %v", slices.Sorted(maps.Keys(left)))
	}
	return nil
}
