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
}

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

// kindEnded is the kind of an Ended in the column extra. There, each value has a
// byte for its kind, its length, and its encoding. Readers skip kinds that only a
// newer release knows.
const kindEnded = 1

// appendEnded appends the value of e for the column extra. scratch is overwritten.
func appendEnded(dst, scratch []byte, e *Ended) (_, _ []byte) {
	b := binary.AppendUvarint(append(scratch[:0], byte(e.Why)), uint64(e.User))
	b = binary.AppendUvarint(b, uint64(e.Before))
	b = binary.AppendUvarint(b, uint64(e.Keep))
	b = append(b, e.Device...)
	dst = binary.AppendUvarint(append(dst, kindEnded), uint64(len(b)))
	return append(dst, b...), b
}

// decodeExtra decodes the column extra. Errors: ErrBroken.
func decodeExtra(b []byte) (ended []Ended, err error) {
	for len(b) > 0 {
		size, n := binary.Uvarint(b[1:])
		if n <= 0 || size > uint64(len(b)-1-n) {
			return nil, ErrBroken
		}
		kind, value := b[0], b[1+n:][:size]
		b = b[1+n:][size:]
		if kind != kindEnded {
			continue
		}
		e, err := decodeEnded(value)
		if err != nil {
			return nil, err
		}
		ended = append(ended, e)
	}
	return ended, nil
}

func decodeEnded(b []byte) (e Ended, err error) {
	if len(b) == 0 || b[0] == 0 || Why(b[0]) >= whys {
		return Ended{}, ErrBroken
	}
	e.Why, b = Why(b[0]), b[1:]
	for _, to := range []*int64{&e.User, &e.Before, &e.Keep} {
		v, n := binary.Uvarint(b)
		if n <= 0 || v > 1<<62 {
			return Ended{}, ErrBroken
		}
		*to, b = int64(v), b[n:]
	}
	e.Device = string(b)
	return e, nil
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
