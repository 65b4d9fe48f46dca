// Package trace finds out whether a message is stored and which devices have
// it. It is for operators. Find uses only the store; Tracer also asks the event
// loops of its node.
package trace

import (
	"context"
	"errors"
	"fmt"

	"chatd/model"
)

// MaxMembers is the most members in one Result. Query.After asks for the next
// ones.
const MaxMembers = 1000

// Query identifies a message: the conversation by Group or Pair, and the message
// by Seq, or by CID and Sender. A user is an ID or a name; digits are an ID.
type Query struct {
	Group  int64
	Pair   [2]string
	Seq    int64
	CID    string
	Sender string
	User   string // report only this user, who need not be a member; "": all members
	After  int64  // report only members with a higher user ID
}

// Validate returns an error if the query is invalid. It doesn't use the store.
func (q *Query) Validate() error {
	switch pair := q.Pair[0] != "" || q.Pair[1] != ""; {
	case pair && q.Group != 0, !pair && q.Group == 0:
		return errors.New("name one conversation: a group by its ID, or a pair by its two users")
	case pair && (q.Pair[0] == "" || q.Pair[1] == ""):
		return errors.New("a pair has two users; name both")
	case q.Group < 0:
		return fmt.Errorf("invalid group %d: IDs are positive", q.Group)
	case q.Seq < 0:
		return fmt.Errorf("invalid seq %d: seqs start at 1", q.Seq)
	case q.Seq != 0 && (q.CID != "" || q.Sender != ""), q.Seq == 0 && q.CID == "":
		return errors.New("name one message: by seq, or by cid and sender")
	case q.CID != "" && q.Sender == "":
		return errors.New("different senders may use the same cid; name the sender as well")
	case q.After < 0:
		return fmt.Errorf("invalid user ID %d in after: IDs are positive", q.After)
	}
	return nil
}

// Store holds the methods of the store that a trace needs. All may block.
type Store interface {
	UserByNameKey(ctx context.Context, key string) (model.User, error)
	TraceGroup(ctx context.Context, id int64) (model.TracedConversation, error)
	TracePair(ctx context.Context, a, b int64) (model.TracedConversation, error)
	TraceSeq(ctx context.Context, conv, seq int64) (model.TracedMessage, error)
	TraceCID(ctx context.Context, conv, sender int64, cid []byte) (model.TracedMessage, error)
	TraceMembers(ctx context.Context, conv, after int64, limit int) ([]model.TracedMember, error)
	TraceUser(ctx context.Context, conv, user int64) (model.TracedMember, error)
}
