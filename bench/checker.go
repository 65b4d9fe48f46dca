package main

import (
	"fmt"
	"sync"
)

// sequence checks numbers that must rise: seq of a conversation, and the
// numbers of a sender's messages.
type sequence struct {
	last  int64
	exact bool // by one each time; else they must rise
}

// see takes the next number. It returns what is wrong with it, or "". After a
// gap it goes on from there, so that one gap is told once.
func (s *sequence) see(n int64) string {
	last := s.last
	switch {
	case n == last:
		return fmt.Sprintf("%d came twice", n)
	case n < last:
		return fmt.Sprintf("%d came after %d", n, last)
	case s.exact && n != last+1:
		s.last = n
		return fmt.Sprintf("%d came after %d: %d missing", n, last, n-last-1)
	}
	s.last = n
	return ""
}

// keepFaults is how many are told in words; the others are only counted.
const keepFaults = 10

// faults gathers what a correct server never does. Any goroutine may add.
type faults struct {
	mu    sync.Mutex
	count int64
	first []string
}

func (f *faults) addf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if len(f.first) < keepFaults {
		f.first = append(f.first, fmt.Sprintf(format, args...))
	}
}

func (f *faults) summary() (count int64, first []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count, append([]string(nil), f.first...)
}

// view is what one end of a conversation has seen of it: the receiver through
// pushes, the sender through ACKs. It is for one goroutine.
type view struct {
	who     string
	seqs    sequence // what the server numbers
	numbers sequence // what the sender numbers
	count   int64
	faults  *faults
}

// newChatView checks a conversation's seq, gapless from 1, and that one
// sender's messages keep their order: numbers have gaps where messages were
// refused.
func newChatView(who string, f *faults) *view {
	return &view{who: who, seqs: sequence{exact: true}, numbers: sequence{}, faults: f}
}

// newEventView checks events, which only their sender numbers: none may be missing.
func newEventView(who string, f *faults) *view {
	return &view{who: who, numbers: sequence{exact: true}, faults: f}
}

// chat takes a message, or the ACK of one.
func (v *view) chat(seq, n int64) {
	v.count++
	if wrong := v.seqs.see(seq); wrong != "" {
		v.faults.addf("%s: seq %s", v.who, wrong)
	}
	if wrong := v.numbers.see(n); wrong != "" {
		v.faults.addf("%s: the sender's order is not kept, number %s", v.who, wrong)
	}
}

// event takes an event.
func (v *view) event(n int64) {
	v.count++
	if wrong := v.numbers.see(n); wrong != "" {
		v.faults.addf("%s: event %s", v.who, wrong)
	}
}
