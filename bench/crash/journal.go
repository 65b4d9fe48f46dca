package crash

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"chatd/proto"
)

// message names a message of a run by its sender: the device's place in the
// run, and the device's own count, from 1.
type message struct{ device, number int32 }

// text is what a message says: its name, and as much behind it as its name
// decides, with what has been trouble to others.
func (m message) text() string {
	h := fnv.New32a()
	name := fmt.Sprintf("d%d n%d ", m.device, m.number)
	_, _ = h.Write([]byte(name)) // never fails
	const filler = `it's "fine"; \o/ 你好，世界 🦉 <b>&amp;</b> %s ` + "\t"
	n := h.Sum32()
	return name + strings.Repeat(filler, int(n%4)) + strconv.FormatUint(uint64(n), 36)
}

// parse is the message that a text is, whole and unaltered.
func parse(text string) (m message, ok bool) {
	d, rest, _ := strings.Cut(text, " ")
	n, _, _ := strings.Cut(rest, " ")
	if len(d) < 2 || len(n) < 2 || d[0] != 'd' || n[0] != 'n' {
		return m, false
	}
	device, err := strconv.ParseInt(d[1:], 10, 32)
	if err != nil {
		return m, false
	}
	number, err := strconv.ParseInt(n[1:], 10, 32)
	if err != nil {
		return m, false
	}
	m = message{int32(device), int32(number)}
	return m, m.text() == text
}

// outcome is what became of a message at its sender.
type outcome uint8

const (
	pending outcome = iota // no answer yet
	acked
	refused // for good
	unsure  // the device was ended before it had an answer
)

// sent is a message at its sender.
type sent struct {
	conv     int
	session  int32 // which of the device's lives it was
	at, done int64 // ns since the run began
	seq      int64 // acked
	outcome  outcome
	err      string // refused, unsure
}

// shown is a message at a device that got it.
type shown struct {
	seq int64
	msg message
	at  int64
	// life is which of the device's lives it was: those of an SDK's client, or
	// the connections of a watcher.
	session int32
}

// seen is what a device has of one conversation.
type seen struct {
	list    []shown
	altered map[int64]string   // texts that no device can have sent, by seq
	top     int64              // it has all up to here, its own included
	beyond  map[int64]struct{} // and these
}

// add notes that the device has a seq.
func (s *seen) add(seq int64) {
	if seq <= s.top {
		return
	}
	if seq > s.top+1 {
		if s.beyond == nil {
			s.beyond = make(map[int64]struct{})
		}
		s.beyond[seq] = struct{}{}
		return
	}
	s.top = seq
	for {
		if _, ok := s.beyond[s.top+1]; !ok {
			return
		}
		s.top++
		delete(s.beyond, s.top)
	}
}

// note is a line of what happened to a device, or of a fault.
type note struct {
	at   int64
	text string
}

// journal is all that one device has said and seen. Any goroutine may use it.
type journal struct {
	index  int
	user   int // the user's place in the run
	name   string
	hasSDK bool // it has the SDK: it says things, and fills holes itself
	began  time.Time

	mu    sync.Mutex
	sent  []sent // message number n is at n-1
	seen  []seen // by conversation
	notes []note
	wire  []wireEvent // messages of its own, and their answers, as its connections had them
	conns int         // of them
	// bases has, of each life and by conversation, from where on the device
	// must get messages: what an SDK's client knew it had, what a watcher has
	// receipted.
	startSeqs  [][]int64
	receipts   []int64 // a watcher's last receipts, by conversation
	violations []Violation

	counts tally
}

func newJournal(index, user int, name string, talks bool, convs int, began time.Time) *journal {
	return &journal{index: index, user: user, name: name, hasSDK: talks, began: began, seen: make([]seen, convs), receipts: make([]int64, convs)}
}

func (j *journal) now() int64 { return int64(time.Since(j.began)) }

// notef notes what happens to the device.
func (j *journal) notef(format string, args ...any) {
	n := note{j.now(), fmt.Sprintf(format, args...)}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.notes = append(j.notes, n)
}

// violate notes what only the device itself can see.
func (j *journal) violate(kind Kind, format string, args ...any) {
	j.violateOf(kind, message{}, format, args...)
}

// violateOf is violate where it is about a message.
func (j *journal) violateOf(kind Kind, m message, format string, args ...any) {
	v := Violation{Kind: kind, Text: j.name + ": " + fmt.Sprintf(format, args...), msg: m}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.violations = append(j.violations, v)
}

// wireEvent is a message on one of its sender's connections, or its answer.
type wireEvent struct {
	at     int64
	number int32
	conn   int32
	answer bool
	retry  bool        // not of answers
	errno  proto.Errno // of answers
}

// newConnection begins another connection, and says which it is.
func (j *journal) newConnection() int32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.conns++
	return int32(j.conns)
}

// recordWire notes what a connection of the device has sent or got.
func (j *journal) recordWire(p wireEvent) {
	p.at = j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wire = append(j.wire, p)
}

// recordSent notes that the device says something, and returns what.
func (j *journal) recordSent(conv int) message {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sent = append(j.sent, sent{conv: conv, session: int32(len(j.startSeqs) - 1), at: j.now()})
	j.counts.add(tally{said: 1, open: 1})
	return message{int32(j.index), int32(len(j.sent))}
}

// dropLast takes back the last message, which was never handed over.
func (j *journal) dropLast(m message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if int(m.number) == len(j.sent) {
		j.sent = j.sent[:m.number-1]
		j.counts.add(tally{said: -1, open: -1})
	}
}

// recordOutcome notes what became of a message.
func (j *journal) recordOutcome(m message, o outcome, seq int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.sent[m.number-1]
	s.outcome, s.seq, s.done = o, seq, j.now()
	if err != nil {
		s.err = err.Error()
	}
	j.counts.open--
	if o == acked {
		j.counts.acked++
		j.seen[s.conv].add(seq)
	}
}

// recordShown notes that the device has got a message.
func (j *journal) recordShown(conv int, seq int64, text string, life int32) {
	m, ok := parse(text)
	j.mu.Lock()
	defer j.mu.Unlock()
	s := &j.seen[conv]
	if !ok {
		if s.altered == nil {
			s.altered = make(map[int64]string)
		}
		s.altered[seq] = text
	}
	s.list = append(s.list, shown{seq, m, j.now(), life})
	j.counts.shown++
	s.add(seq)
}

// recordReceipt notes that a watcher has sent a receipt. The server may not have it.
func (j *journal) recordReceipt(conv int, seq int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.receipts[conv] = max(j.receipts[conv], seq)
}

// newSession begins a watcher's next life, and says which it is.
func (j *journal) newSession() (life int32) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.startSeqs = append(j.startSeqs, slices.Clone(j.receipts))
	return int32(len(j.startSeqs) - 1)
}

// tally is how many messages were sent, acknowledged, not yet answered, and
// shown.
type tally struct{ said, acked, open, shown int64 }

func (a *tally) add(b tally) {
	a.said, a.acked, a.open, a.shown = a.said+b.said, a.acked+b.acked, a.open+b.open, a.shown+b.shown
}

func (j *journal) tally() tally {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.counts
}

// top is how far the device has all of a conversation.
func (j *journal) top(conv int) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seen[conv].top
}

// lastNotes says of a device that lacks n messages what it did last.
func (j *journal) lastNotes(n int) string {
	text := fmt.Sprintf("%s never saw %d messages; last:", j.name, n)
	for _, n := range j.notes[max(0, len(j.notes)-4):] {
		text += fmt.Sprintf(" [%.3fs %s]", float64(n.at)/1e9, n.text)
	}
	return text
}
