package load

import (
	"fmt"
	"sync"
)

// sequence checks numbers that must rise: seq of a conversation, and the
// numbers of a sender's messages.
type sequence struct {
	last    int64
	gapless bool // by one each time; else they must rise
}

// check takes the next number. It returns what is wrong with it, or "". After a
// gap it goes on from there, so that one gap is told once.
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

// maxFaultTexts is how many are told in words; the others are only counted.
const maxFaultTexts = 10

// Faults gathers what a correct server never does. Any goroutine may add.
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

// view is what one end of a conversation has seen of it: the receiver through
// pushes, the sender through ACKs. It is for one goroutine.
type view struct {
	who     string
	seqs    sequence   // what the server numbers
	senders []sequence // what each sender numbers
	count   int64
	faults  *Faults
}

// newChatView checks a conversation's seq, gapless from 1, and that what each
// of its voices says keeps its order: numbers have gaps where messages were
// refused.
func newChatView(who string, voices int, f *Faults) *view {
	return &view{who: who, seqs: sequence{gapless: true}, senders: make([]sequence, voices), faults: f}
}

// newEventView checks events, which only their senders number: none may be missing.
func newEventView(who string, voices int, f *Faults) *view {
	v := &view{who: who, senders: make([]sequence, voices), faults: f}
	for i := range v.senders {
		v.senders[i].gapless = true
	}
	return v
}

// addMessage takes a message of a voice, or the ACK of one.
func (v *view) addMessage(seq int64, voice int, n int64) {
	v.count++
	if wrong := v.seqs.check(seq); wrong != "" {
		v.faults.addf("%s: seq %s", v.who, wrong)
	}
	if wrong := v.senders[voice].check(n); wrong != "" {
		v.faults.addf("%s: the sender's order is not kept, number %s", v.who, wrong)
	}
}

// addEvent takes an event of a voice.
func (v *view) addEvent(voice int, n int64) {
	v.count++
	if wrong := v.senders[voice].check(n); wrong != "" {
		v.faults.addf("%s: event %s", v.who, wrong)
	}
}

// nextPosition is the place of what should come next: its seq, where there is one.
func (v *view) nextPosition() int64 {
	if v.seqs.gapless || v.seqs.last > 0 {
		return v.seqs.last + 1
	}
	return v.count + 1
}

// received is how many messages have come; of events, whose loss is a fault of
// its own, how many were sent up to the last that has.
func (v *view) received() (n int64) {
	if len(v.senders) == 0 || !v.senders[0].gapless {
		return v.count
	}
	for i := range v.senders {
		n += v.senders[i].last
	}
	return n
}
