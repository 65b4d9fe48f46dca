package load

import (
	"fmt"
	"sync"
)

// sequence checks that numbers rise: the seq of a conversation, or the numbers
// a sender gives to its messages.
type sequence struct {
	last    int64
	gapless bool // by exactly one each time
}

// check checks the next number. It returns what is wrong with it, or "". After
// a gap it continues from the new number, so a gap is reported once.
func (s *sequence) check(n int64) string {
	last := s.last
	switch {
	case n == last:
		return fmt.Sprintf("%d came twice", n)
	case n < last:
		return fmt.Sprintf("%d came after %d", n, last)
	case s.gapless && n != last+1:
		s.last = n
		return fmt.Sprintf("%d came after %d: %d missing", n, last, n-last-1)
	}
	s.last = n
	return ""
}

// maxFaultTexts is how many faults are described. The others are only counted.
const maxFaultTexts = 10

// Faults counts broken promises of the server. It is safe for concurrent
// use.
type Faults struct {
	mu    sync.Mutex
	count int64
	first []string
}

func (f *Faults) addf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if len(f.first) < maxFaultTexts {
		f.first = append(f.first, fmt.Sprintf(format, args...))
	}
}

func (f *Faults) Summary() (count int64, first []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count, append([]string(nil), f.first...)
}

// view checks what one end of a conversation sees of it: the receiver its
// pushes, the sender its ACKs. It is for a single goroutine.
type view struct {
	who     string
	seqs    sequence   // numbers given by the server
	senders []sequence // numbers given by each sender
	count   int64
	faults  *Faults
}

// newChatView returns a view of stored messages. Their seq starts at 1 and has
// no gaps. Each sender's own numbers keep their order, with gaps where messages
// were refused.
func newChatView(who string, senders int, f *Faults) *view {
	return &view{who: who, seqs: sequence{gapless: true}, senders: make([]sequence, senders), faults: f}
}

// newEventView returns a view of events. Only their senders number them, and
// none may be missing.
func newEventView(who string, senders int, f *Faults) *view {
	v := &view{who: who, senders: make([]sequence, senders), faults: f}
	for i := range v.senders {
		v.senders[i].gapless = true
	}
	return v
}

// addMessage checks a message of a sender, or the ACK of one.
func (v *view) addMessage(seq int64, sender int, n int64) {
	v.count++
	if wrong := v.seqs.check(seq); wrong != "" {
		v.faults.addf("%s: seq %s", v.who, wrong)
	}
	if wrong := v.senders[sender].check(n); wrong != "" {
		v.faults.addf("%s: messages of a sender are out of order: number %s", v.who, wrong)
	}
}

func (v *view) addEvent(sender int, n int64) {
	v.count++
	if wrong := v.senders[sender].check(n); wrong != "" {
		v.faults.addf("%s: event %s", v.who, wrong)
	}
}

// nextPosition returns the position of the next message in the room: its seq if
// it is stored.
func (v *view) nextPosition() int64 {
	if v.seqs.gapless || v.seqs.last > 0 {
		return v.seqs.last + 1
	}
	return v.count + 1
}

// received returns how many messages have arrived. Lost events are faults
// already, so it counts them as received.
func (v *view) received() (n int64) {
	if len(v.senders) == 0 || !v.senders[0].gapless {
		return v.count
	}
	for i := range v.senders {
		n += v.senders[i].last
	}
	return n
}
