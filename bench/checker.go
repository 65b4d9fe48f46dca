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
	who    string
	seqs   sequence   // what the server numbers
	voices []sequence // what each sender numbers
	count  int64
	faults *faults
}

// newChatView checks a conversation's seq, gapless from 1, and that what each
// of its voices says keeps its order: numbers have gaps where messages were
// refused.
func newChatView(who string, voices int, f *faults) *view {
	return &view{who: who, seqs: sequence{exact: true}, voices: make([]sequence, voices), faults: f}
}

// newEventView checks events, which only their senders number: none may be missing.
func newEventView(who string, voices int, f *faults) *view {
	v := &view{who: who, voices: make([]sequence, voices), faults: f}
	for i := range v.voices {
		v.voices[i].exact = true
	}
	return v
}

// chat takes a message of a voice, or the ACK of one.
func (v *view) chat(seq int64, voice int, n int64) {
	v.count++
	if wrong := v.seqs.see(seq); wrong != "" {
		v.faults.addf("%s: seq %s", v.who, wrong)
	}
	if wrong := v.voices[voice].see(n); wrong != "" {
		v.faults.addf("%s: the sender's order is not kept, number %s", v.who, wrong)
	}
}

// event takes an event of a voice.
func (v *view) event(voice int, n int64) {
	v.count++
	if wrong := v.voices[voice].see(n); wrong != "" {
		v.faults.addf("%s: event %s", v.who, wrong)
	}
}

// next is the place of what should come next: its seq, where there is one.
func (v *view) next() int64 {
	if v.seqs.exact || v.seqs.last > 0 {
		return v.seqs.last + 1
	}
	return v.count + 1
}

// progress is how many messages have come; of events, whose loss is a fault of
// its own, how many were sent up to the last that has.
func (v *view) progress() (n int64) {
	if len(v.voices) == 0 || !v.voices[0].exact {
		return v.count
	}
	for i := range v.voices {
		n += v.voices[i].last
	}
	return n
}
