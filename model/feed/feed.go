// Package feed records what each transaction has changed, and lets readers ask
// what has been committed since they last looked: across all conversations, and
// with any number of processes that write. DESIGN.md has the guarantees, the proof
// and the tables.
//
// A Lane writes the feed, and a Reader reads it. Trim deletes old rows.
package feed

import (
	"encoding/binary"
	"errors"
)

// Errors of a Reader. After either, the Reader can't go on: open a new one, and
// read from elsewhere what has been committed up to then.
var (
	ErrTrimmed = errors.New("feed: rows were deleted before they were read")
	ErrBroken  = errors.New("feed: a row is missing or can't be decoded")
)

// ErrClosed is returned by Lane.Record if Trim has closed the lane. Roll back, and
// run the transaction again.
var ErrClosed = errors.New("feed: the lane was closed because it was not used for a long time")

// Row is what one transaction has changed.
type Row struct {
	Lane, Pos int64 // the row is the Pos-th of its lane, from 1
	Tick      int64 // higher than that of every earlier row of the lane, or of one of the conversations
	Time      int64 // Unix seconds, by the database's clock
	Spans     []Span
	Ended     []Ended // which sessions the transaction has ended
	Notices
}

// Notices are the changes that the clients of other users, or other devices, are told
// of, apart from messages.
type Notices struct {
	Relations []Relation
	Members   []Member
	Reads     []Read
}

// Empty reports whether there are none.
func (n *Notices) Empty() bool { return len(n.Relations)+len(n.Members)+len(n.Reads) == 0 }

// Span is what a transaction has changed in one conversation: it added the
// messages First to Last, or changed a group's members, or both. A transaction adds
// at most one member to each group.
type Span struct {
	Conv        int64
	Lo, Hi      int64 // a pair's user IDs, Lo <= Hi; 0 for a group
	Version     int64 // a group's membership version after the transaction; 0 for a pair
	Joined      int64 // the user who joined the group; 0: nobody did
	First, Last int64 // First is Last+1 if there are no messages
}

// Group returns the group's ID, or 0 for a pair.
func (s *Span) Group() int64 {
	if s.Lo == 0 {
		return s.Conv
	}
	return 0
}

// appendSpan appends the encoding of a span: varints, about 8 bytes in all.
func appendSpan(dst []byte, s *Span) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.Conv))
	dst = binary.AppendUvarint(dst, uint64(s.Lo))
	if s.Lo != 0 {
		dst = binary.AppendUvarint(dst, uint64(s.Hi-s.Lo))
	} else {
		v := uint64(s.Version) << 1
		if s.Joined != 0 {
			v |= 1
		}
		dst = binary.AppendUvarint(dst, v)
		if s.Joined != 0 {
			dst = binary.AppendUvarint(dst, uint64(s.Joined))
		}
	}
	dst = binary.AppendUvarint(dst, uint64(s.Last))
	return binary.AppendUvarint(dst, uint64(s.Last-s.First+1))
}

// Ended says that a transaction has ended sessions of a user: those with numbers
// below Before, on Device or, if that is empty, on all devices, but not the one
// with number Keep. Sessions that begin later have higher numbers. So it can be
// applied at any time, in any order and more than once.
type Ended struct {
	User         int64
	Device       string
	Before, Keep int64 // Keep: 0 is no session
	Why          Why
}

// Ends reports whether a session of the user has ended.
func (e *Ended) Ends(device string, number int64) bool {
	return number < e.Before && number != e.Keep && (e.Device == "" || e.Device == device)
}

// Why is the reason why sessions have ended.
type Why byte

const (
	Replaced   Why = 1 + iota // the device has logged in again
	LoggedOut                 // the device was logged out
	ByOperator                // an operator has logged out the user
	whys                      // the end of the list
)

// Relation says that two users have become friends, or no longer are, or that By has
// blocked Other, or no longer does.
type Relation struct {
	What      What
	By, Other Party
}

// Party is one of the two users of a Relation. Number is the change's among the user's
// changes and sessions: later ones have higher numbers.
type Party struct {
	User, Number int64
	Name         string // only if they have become friends
}

// What is what has changed between two users.
type What byte

const (
	Befriended What = 1 + iota
	Unfriended
	Blocked
	Unblocked
	whats // the end of the list
)

// Member says that a user has joined a group, or is no longer in it.
type Member struct {
	Group, User int64
	Version     int64 // the group's membership version after the change
	Last        int64 // the seq of the group's last message before the change
	Joined      bool
	Name        string // of the user; only if Joined
}

// Read says up to which seq a user has read a conversation.
type Read struct {
	Conv, User int64
	Peer       int64 // the other user of a pair; 0 for a group
	Seq        int64
	Alone      bool // the peer isn't told: one of the two has blocked the other
}

// Kinds of values in the column extra. There, each value has a byte for its kind, its
// length, and its encoding. Readers skip kinds that only a newer release knows.
const (
	kindEnded byte = 1 + iota
	kindRelation
	kindMember
	kindRead
)

// appendExtra appends a value for the column extra: a byte, numbers that aren't
// negative, and texts.
func appendExtra(dst []byte, kind, first byte, numbers []int64, texts ...string) []byte {
	var scratch [128]byte
	b := append(scratch[:0], first)
	for _, v := range numbers {
		b = binary.AppendUvarint(b, uint64(v))
	}
	for i, t := range texts {
		if i < len(texts)-1 { // the last one has the rest
			b = binary.AppendUvarint(b, uint64(len(t)))
		}
		b = append(b, t...)
	}
	dst = binary.AppendUvarint(append(dst, kind), uint64(len(b)))
	return append(dst, b...)
}

func appendEnded(dst []byte, e *Ended) []byte {
	return appendExtra(dst, kindEnded, byte(e.Why), []int64{e.User, e.Before, e.Keep}, e.Device)
}

func appendRelation(dst []byte, r *Relation) []byte {
	return appendExtra(dst, kindRelation, byte(r.What), []int64{r.By.User, r.By.Number, r.Other.User, r.Other.Number}, r.By.Name, r.Other.Name)
}

func appendMember(dst []byte, m *Member) []byte {
	return appendExtra(dst, kindMember, flag(m.Joined), []int64{m.Group, m.User, m.Version, m.Last}, m.Name)
}

func appendRead(dst []byte, r *Read) []byte {
	return appendExtra(dst, kindRead, flag(r.Alone), []int64{r.Conv, r.User, r.Peer, r.Seq})
}

func flag(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// decodeExtra decodes the column extra into row. Errors: ErrBroken.
func decodeExtra(b []byte, row *Row) error {
	for len(b) > 0 {
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) {
			return ErrBroken
		}
		kind, d := b[0], extraDecoder{b: b[1+n:][:size]}
		b = b[1+n:][size:]
		switch kind {
		case kindEnded:
			e := Ended{Why: Why(d.first(byte(whys)))}
			d.numbers(&e.User, &e.Before, &e.Keep)
			e.Device = string(d.b)
			row.Ended = append(row.Ended, e)
		case kindRelation:
			r := Relation{What: What(d.first(byte(whats)))}
			d.numbers(&r.By.User, &r.By.Number, &r.Other.User, &r.Other.Number)
			r.By.Name = d.text()
			r.Other.Name = string(d.b)
			row.Relations = append(row.Relations, r)
		case kindMember:
			m := Member{Joined: d.flag()}
			d.numbers(&m.Group, &m.User, &m.Version, &m.Last)
			m.Name = string(d.b)
			row.Members = append(row.Members, m)
		case kindRead:
			r := Read{Alone: d.flag()}
			d.numbers(&r.Conv, &r.User, &r.Peer, &r.Seq)
			row.Reads = append(row.Reads, r)
		}
		if d.broken {
			return ErrBroken
		}
	}
	return nil
}

// extraDecoder decodes a value of the column extra.
type extraDecoder struct {
	b      []byte
	broken bool
}

// first returns the first byte, which must be from 1 to end-1.
func (d *extraDecoder) first(end byte) byte {
	if len(d.b) == 0 || d.b[0] == 0 || d.b[0] >= end {
		d.b, d.broken = nil, true
		return 0
	}
	v := d.b[0]
	d.b = d.b[1:]
	return v
}

// flag returns the first byte, which must be 0 or 1.
func (d *extraDecoder) flag() bool {
	if len(d.b) == 0 || d.b[0] > 1 {
		d.b, d.broken = nil, true
		return false
	}
	v := d.b[0] == 1
	d.b = d.b[1:]
	return v
}

func (d *extraDecoder) numbers(to ...*int64) {
	for _, p := range to {
		v, n := binary.Uvarint(d.b)
		if n <= 0 || v > 1<<62 {
			d.b, d.broken = nil, true
			return
		}
		*p, d.b = int64(v), d.b[n:]
	}
}

func (d *extraDecoder) text() string {
	n := int64(0)
	d.numbers(&n)
	if n > int64(len(d.b)) {
		d.b, d.broken = nil, true
		return ""
	}
	t := string(d.b[:n])
	d.b = d.b[n:]
	return t
}

// minSpan is the size of the smallest encoded span, in bytes.
const minSpan = 5

// decodeSpans decodes spans that appendSpan has encoded. Errors: ErrBroken.
func decodeSpans(b []byte) (spans []Span, err error) {
	next := func() int64 {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<62 {
			b, err = nil, ErrBroken
			return 0
		}
		b = b[n:]
		return int64(v)
	}
	spans = make([]Span, 0, len(b)/minSpan)
	for len(b) > 0 {
		s := Span{Conv: next(), Lo: next()}
		v := next()
		if s.Lo != 0 {
			s.Hi = s.Lo + v
		} else if s.Version = v >> 1; v&1 != 0 {
			s.Joined = next()
		}
		s.Last = next()
		s.First = s.Last + 1 - next()
		if err != nil {
			return nil, err
		}
		spans = append(spans, s)
	}
	return spans, nil
}
