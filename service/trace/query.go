// Package trace finds out where one message is: in the log, and on which devices.
// It is for operators; nothing else depends on it. Find asks the store alone;
// Tracer also asks the event loops of its node.
package trace

import (
	"context"
	"errors"
	"fmt"

	"chatd/model"
)

// MaxMembers bounds the members of one answer to a Query; After asks
// for the next ones.
const MaxMembers = 1000

// Query asks where one message is. A conversation is named by Group or by
// Pair, the message by Seq or by CID and Sender. Users are named by id or name;
// digits alone are an id.
type Query struct {
	Group  int64
	Pair   [2]string
	Seq    int64
	CID    string
	Sender string
	User   string // this user alone, a member or not; empty: the members
	After  int64  // members with a higher user id
}

// Validate says what is wrong with a question, before anything is asked.
func (q *Query) Validate() error {
	switch pair := q.Pair[0] != "" || q.Pair[1] != ""; {
	case pair && q.Group != 0, !pair && q.Group == 0:
		return errors.New("name one conversation: a group by its id, or a pair by its two users")
	case pair && (q.Pair[0] == "" || q.Pair[1] == ""):
		return errors.New("a pair has two users")
	case q.Group < 0:
		return fmt.Errorf("group %d: an id is positive", q.Group)
	case q.Seq < 0:
		return fmt.Errorf("seq %d: it counts from 1", q.Seq)
	case q.Seq != 0 && (q.CID != "" || q.Sender != ""), q.Seq == 0 && q.CID == "":
		return errors.New("name one message: by its seq, or by its cid and its sender")
	case q.CID != "" && q.Sender == "":
		return errors.New("a cid is its sender's own: name the sender")
	case q.After < 0:
		return fmt.Errorf("after %d: an id is positive", q.After)
	}
	return nil
}

// Store is what a trace asks of the data. Everything may block.
type Store interface {
	UserByNameKey(ctx context.Context, key string) (model.User, error)
	TraceGroup(ctx context.Context, id int64) (model.TracedConversation, error)
	TracePair(ctx context.Context, a, b int64) (model.TracedConversation, error)
	TraceSeq(ctx context.Context, conv, seq int64) (model.TracedMessage, error)
	TraceCID(ctx context.Context, conv, sender int64, cid []byte) (model.TracedMessage, error)
	TraceMembers(ctx context.Context, conv, after int64, limit int) ([]model.TracedMember, error)
	TraceUser(ctx context.Context, conv, user int64) (model.TracedMember, error)
}
