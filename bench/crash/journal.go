package crash

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"chatd/proto"
)

// message identifies a message by its sender: the index of the device, and the
// device's own count from 1.
type message struct{ device, number int32 }

// text returns the text of a message. It starts with the message's name and
// continues with characters that break careless programs. The same message
// always has the same text.
func (m message) text() string {
	h := fnv.New32a()
	name := fmt.Sprintf("d%d n%d ", m.device, m.number)
	_, _ = h.Write([]byte(name)) // never fails
	const filler = `it's "fine"; \o/ 你好，世界 🦉 <b>&amp;</b> %s ` + "\t"
	n := h.Sum32()
	return name + strings.Repeat(filler, int(n%4)) + strconv.FormatUint(uint64(n), 36)
}

// parse returns the message with this text. ok is false if the text was
// altered.
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

// outcome says what became of a message, as far as its sender knows.
type outcome uint8

const (
	pending outcome = iota // no answer yet
	acked
	refused // for good
	unsure  // the device was killed before the answer came
)

// sent is a message in the journal of its sender.
type sent struct {
	conv     int
	session  int32 // number of the device's session
	at, done int64 // ns since the start of the run
	seq      int64 // if acked
	outcome  outcome
	err      string // if refused or unsure
	cid      string // "" until a connection has sent it
}

// repeat is the answer to a message that was sent again after its ACK.
type repeat struct {
	number int32
	at     int64
	seq    int64
	errno  proto.Errno
}

// shown is a message in the journal of a device that received it.
type shown struct {
	seq int64
	msg message
	at  int64
	// session is a session of an SDK client, or a connection of a receiver.
	session int32
}

// seen has the messages of one conversation that a device was shown.
type seen struct {
	list    []shown
	altered map[int64]string   // texts that no device sent, by seq
	top     int64              // it has all seqs up to here, its own included
	beyond  map[int64]struct{} // and these
}

// add records that the device has a seq.
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

// note is a line about a device, or about a fault.
type note struct {
	at   int64
	text string
}

// journal records everything that one device has sent and seen. It is safe for
// concurrent use.
type journal struct {
	index  int
	user   int // index of the user
	name   string
	hasSDK bool // it uses the SDK: it sends, and repairs gaps itself
	began  time.Time

	mu    sync.Mutex
	sent  []sent // message number n is at n-1
	seen  []seen // by conversation
	notes []note
	wire  []wireEvent // its messages and their answers, as seen on its connections
	// repeats are the answers to those of its messages that its user's resender
	// has sent again.
	repeats []repeat
	conns   int // number of connections
	// startSeqs[session][conversation] is the seq after which the device must get
	// messages in that session: the last seq that it had saved (SDK clients) or
	// sent a receipt for (receivers).
	startSeqs  [][]int64
	receipts   []int64 // seqs of a receiver's last receipts, by conversation
	violations []Violation

	counts tally
}

func newJournal(index, user int, name string, hasSDK bool, convs int, began time.Time) *journal {
	return &journal{index: index, user: user, name: name, hasSDK: hasSDK, began: began, seen: make([]seen, convs), receipts: make([]int64, convs)}
}

func (j *journal) now() int64 { return int64(time.Since(j.began)) }

func (j *journal) notef(format string, args ...any) {
	n := note{j.now(), fmt.Sprintf(format, args...)}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.notes = append(j.notes, n)
}

// maxLastNotes is how many notes of its device are the history of a violation
// that isn't about a message.
const maxLastNotes = 20

// violate records a violation that only the device itself can see.
func (j *journal) violate(kind Kind, format string, args ...any) {
	j.violateOf(kind, message{}, format, args...)
}

// violateOf is like violate, for a violation about message m.
func (j *journal) violateOf(kind Kind, m message, format string, args ...any) {
	v := Violation{Kind: kind, Text: j.name + ": " + fmt.Sprintf(format, args...), msg: m}
	j.mu.Lock()
	defer j.mu.Unlock()
	if m.number == 0 {
		var last []note
		for _, n := range j.notes[max(0, len(j.notes)-maxLastNotes):] {
			last = append(last, note{n.at, j.name + ": " + n.text})
		}
		v.History = formatHistory(last, nil, true)
	}
	j.violations = append(j.violations, v)
}

// wireEvent is a message on a connection of its sender, or the answer.
type wireEvent struct {
	at     int64
	number int32
	conn   int32
	answer bool
	retry  bool        // not for answers
	errno  proto.Errno // of answers
}

// newConnection returns the number of a new connection.
func (j *journal) newConnection() int32 {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.conns++
	return int32(j.conns)
}

// recordWire records what a connection has sent or received.
func (j *journal) recordWire(p wireEvent) {
	p.at = j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.wire = append(j.wire, p)
}

// recordCID records the cid of a message, which the SDK has chosen.
func (j *journal) recordCID(number int32, cid []byte) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if number >= 1 && int(number) <= len(j.sent) && j.sent[number-1].cid == "" {
		j.sent[number-1].cid = string(cid)
	}
}

// recordRepeat records the answer to a message that was sent again.
func (j *journal) recordRepeat(p repeat) {
	p.at = j.now()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.repeats = append(j.repeats, p)
}

// anyAcked returns an acknowledged message, chosen at random, and its record. It
// returns false if there are too few.
func (j *journal) anyAcked(rng *rand.Rand) (message, sent, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.sent) == 0 {
		return message{}, sent{}, false
	}
	i := rng.IntN(len(j.sent))
	return message{int32(j.index), int32(i + 1)}, j.sent[i], j.sent[i].outcome == acked && j.sent[i].cid != ""
}

// recordSent records that the device sends a message, and returns it.
func (j *journal) recordSent(conv int) message {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.sent = append(j.sent, sent{conv: conv, session: int32(len(j.startSeqs) - 1), at: j.now()})
	j.counts.add(tally{said: 1, open: 1})
	return message{int32(j.index), int32(len(j.sent))}
}

// dropLast removes the last message, which wasn't sent after all.
func (j *journal) dropLast(m message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if int(m.number) == len(j.sent) {
		j.sent = j.sent[:m.number-1]
		j.counts.add(tally{said: -1, open: -1})
	}
}

// recordOutcome records what became of a message.
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

func (j *journal) recordShown(conv int, seq int64, text string, session int32) {
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
	s.list = append(s.list, shown{seq, m, j.now(), session})
	j.counts.shown++
	s.add(seq)
}

// recordReceipt records that a receiver has sent a receipt. The server may not
// have got it.
func (j *journal) recordReceipt(conv int, seq int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.receipts[conv] = max(j.receipts[conv], seq)
}

// newSession starts a receiver's next session and returns its number.
func (j *journal) newSession() (session int32) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.startSeqs = append(j.startSeqs, slices.Clone(j.receipts))
	return int32(len(j.startSeqs) - 1)
}

// tally counts messages: sent, acknowledged, not yet answered, and shown.
type tally struct{ said, acked, open, shown int64 }

func (a *tally) add(b tally) {
	a.said, a.acked, a.open, a.shown = a.said+b.said, a.acked+b.acked, a.open+b.open, a.shown+b.shown
}

func (j *journal) tally() tally {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.counts
}

// top returns up to which seq the device has all of a conversation.
func (j *journal) top(conv int) int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seen[conv].top
}

// lastNotes describes a device that lacks n messages, with its last notes.
func (j *journal) lastNotes(n int) string {
	text := fmt.Sprintf("%s never saw %d messages; its last events:", j.name, n)
	for _, n := range j.notes[max(0, len(j.notes)-4):] {
		text += fmt.Sprintf(" [%.3fs %s]", float64(n.at)/1e9, n.text)
	}
	return text
}
