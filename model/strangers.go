package model

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"time"

	"chatd/model/sqldb"
)

// A sender is a stranger to a receiver who has never written to them and isn't
// their friend. What a stranger may store is limited, per receiver
// (Options.MessagesToStranger) and for all strangers together
// (Options.MessagesFromStrangers).
//
// Whether two users are strangers follows from the log: as long as one of the two
// hasn't written, all messages of the conversation are from the other one. The
// append step checks it under the lock of the conversation's row, and remembers
// pairs that have both written.

const (
	// strangerUnit is how many bytes of messages count as another message.
	strangerUnit = 4 << 10
	// friendTime is how long an append step remembers that two users are friends.
	friendTime   = 10 * time.Second
	maxKnownMet  = 128 << 10 // pairs that an append step remembers
	foreverKnown = math.MaxInt64
)

// Errors of messages to users who don't know the sender. Each is an ErrFull.
var (
	ErrStranger  = fmt.Errorf("the receiver hasn't answered the sender, who has sent too many messages: %w", ErrFull)
	ErrStrangers = fmt.Errorf("the receiver has got too many messages from strangers today: %w", ErrFull)
)

// contact says what two users have to do with each other.
type contact struct {
	pair
	loWrote, hiWrote bool
	friends          bool
	bytes            int64 // of the messages, if only one has written
}

// knows reports whether a user isn't a stranger to the other one.
func (c *contact) knows(sender int64) bool {
	return c.friends || sender == c.lo && c.hiWrote || sender == c.hi && c.loWrote
}

// wrote records a message.
func (c *contact) wrote(sender int64, size int) {
	c.loWrote = c.loWrote || sender == c.lo
	c.hiWrote = c.hiWrote || sender == c.hi
	c.bytes += int64(size)
}

// findContacts reads the contacts of those pairs in the batch that aren't known to
// have met.
func (s *appendStep) findContacts(ctx context.Context, now int64) error {
	if s.db.o.MessagesToStranger == 0 && s.db.o.MessagesFromStrangers == 0 {
		return nil
	}
	ids := s.ids[:0]
	for _, a := range s.batch {
		h := s.heads[a.Conv]
		if !a.Pending() || h == nil || a.Peer == 0 || a.Peer == a.Sender {
			continue
		}
		if until, ok := s.met.get(h.id); ok && now < until {
			continue
		}
		if _, ok := s.contacts[h.id]; !ok {
			s.contacts[h.id] = &contact{pair: pairOf(a.Sender, a.Peer)}
			ids = append(ids, h.id)
		}
	}
	s.ids = ids
	err := s.stmts.contacts.Query(ctx, s.tx, s.sortedArgs(ids), func(r *sql.Rows) error {
		var id int64
		var lo, hi, friends sql.NullInt64
		err := r.Scan(&id, &lo, &hi, &friends)
		c := s.contacts[id]
		c.loWrote, c.hiWrote, c.friends = lo.Valid, hi.Valid, friends.Valid
		return err
	})
	if err != nil {
		return err
	}
	ids = s.ids[:0]
	for id, c := range s.contacts {
		if s.recent != nil {
			lo, hi, bytes := s.recent.index.Senders(id, c.lo, c.hi)
			c.loWrote, c.hiWrote, c.bytes = c.loWrote || lo, c.hiWrote || hi, int64(bytes)
		}
		if !c.friends && c.loWrote != c.hiWrote && s.heads[id].last < int64(s.db.o.MessagesToStranger) {
			ids = append(ids, id)
		}
	}
	s.ids = ids
	return s.stmts.sizes.Query(ctx, s.tx, s.sortedArgs(ids), func(r *sql.Rows) error {
		var id, bytes int64
		err := r.Scan(&id, &bytes)
		s.contacts[id].bytes += bytes
		return err
	})
}

// contactsSQL returns a query for who has written in conversations of pairs, and
// whether the two are friends.
func contactsSQL(d *dialect, rows int) string {
	return `SELECT c.id,
		(SELECT 1 FROM messages m` + d.byCIDIndex + ` WHERE m.conversation_id = c.id AND m.sender_id = c.user_lo LIMIT 1),
		(SELECT 1 FROM messages m` + d.byCIDIndex + ` WHERE m.conversation_id = c.id AND m.sender_id = c.user_hi LIMIT 1),
		(SELECT 1 FROM friends f WHERE f.user_id = c.user_lo AND f.friend_id = c.user_hi)
		FROM conversations c WHERE c.id IN (` + sqldb.Repeated("?", rows) + `)`
}

// sizesSQL returns a query for the bytes of conversations, which must be short.
func sizesSQL(rows int) string {
	return `SELECT conversation_id, SUM(LENGTH(cid) + LENGTH(body)) FROM messages
		WHERE conversation_id IN (` + sqldb.Repeated("?", rows) + `) GROUP BY conversation_id`
}

// rememberContacts fills the cache after a commit.
func (s *appendStep) rememberContacts() {
	for id, c := range s.contacts {
		switch {
		case c.loWrote && c.hiWrote:
			s.met.put(id, foreverKnown)
		case c.friends:
			s.met.put(id, s.db.nowMS()+friendTime.Milliseconds())
		}
	}
}

// charge is what a message has taken from a bucket.
type charge struct {
	quotaKey
	cost int64
}

// admit charges a message to the quotas. It returns an error if the message may
// not be stored because of them: a *QuotaError, ErrStranger or ErrStrangers. The
// caller has locked the quotas. now is in microseconds.
func (s *appendStep) admit(h *headRow, a *Append, now int64) error {
	if a.Run != nil && s.overQuota[a.Run] != nil {
		return s.overQuota[a.Run]
	}
	q, size := s.db.quotas, len(a.CID)+len(a.Body)
	receiver, strangerCost := quotaKey{a.Peer, quotaStrangers}, int64(0)
	c := s.contacts[h.id] // nil: a group, notes, or a pair that has met
	if c != nil && !c.knows(a.Sender) {
		if most := int64(s.db.o.MessagesToStranger); most > 0 && h.last+1+(c.bytes+int64(size))/strangerUnit > most {
			return ErrStranger
		}
		if strangerCost = q.strangerCost(size); q.wait(receiver, strangerCost, now) > 0 {
			return ErrStrangers
		}
	}
	sender, cost := quotaKey{a.Sender, quotaSent}, q.sentCost(size)
	if wait := q.wait(sender, cost, now); wait > 0 {
		err := &QuotaError{min(wait, maxQuotaWait)}
		if a.Run != nil {
			s.overQuota[a.Run] = err
		}
		return err
	}
	for _, t := range []charge{{sender, cost}, {receiver, strangerCost}} {
		if t.cost > 0 {
			q.take(t.quotaKey, t.cost, now)
			s.charges = append(s.charges, t)
		}
	}
	if c != nil {
		c.wrote(a.Sender, size)
	}
	return nil
}

// answerRefusedRepeats looks up the messages that admit has refused, and that
// findRepeats hasn't looked up: a message that is in the log gets its seq, however
// much its sender has stored.
func (s *appendStep) answerRefusedRepeats(ctx context.Context) error {
	args := s.args[:0]
	for _, a := range s.refused {
		if s.recent == nil && !a.MayRepeat() {
			args = append(args, a.Conv, a.Sender, a.CID)
		}
	}
	s.args = args
	if err := s.stmts.repeats.Query(ctx, s.tx, args, s.scanRepeat); err != nil {
		return err
	}
	for _, a := range s.refused {
		if p, ok := s.stored[keyOf(a)]; ok {
			a.Err = nil
			a.AnswerRepeat(p.seq, p.time)
		}
	}
	return nil
}

// failRuns fails the runs of the messages that their senders will resend: later
// messages of a run must not be stored before them.
func (s *appendStep) failRuns() {
	for _, a := range s.refused {
		if _, ok := a.Err.(*QuotaError); ok {
			a.FailRun()
		}
	}
}

// refund puts back what the transaction has charged.
func (s *appendStep) refund() {
	for _, t := range s.charges {
		s.db.quotas.give(t.quotaKey, t.cost)
	}
	s.charges = s.charges[:0]
}
