package crash

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"chatd/proto"
)

type conv struct {
	name    string
	group   int64 // 0: a pair
	members []int // users, by index
}

// row is a message in the database.
type row struct {
	seq    int64
	sender int // index of the user; -1: unknown
	cid    string
	text   string
	at     time.Time // by the server's clock
}

// evidence is everything that a run left behind to be checked.
type evidence struct {
	convs    []conv
	journals []*journal
	log      [][]row // by conversation, in order of seq
	faults   []note
}

type location struct {
	conv int
	row  *row
}

// check compares the answers that senders got, the messages that devices were
// shown, and the stored log. The devices must have stopped. behind describes
// the devices that lack messages.
func (e *evidence) check() (all []Violation, behind []string) {
	ck := &checker{evidence: e, stored: make(map[message]location)}
	for c := range e.convs {
		ck.checkLog(c)
	}
	for _, d := range e.journals {
		ck.all = append(ck.all, d.violations...)
		ck.checkAcks(d)
		ck.checkRepeats(d)
		ck.checkOrder(d)
		missing := ck.missing
		for c := range e.convs {
			if slices.Contains(e.convs[c].members, d.user) {
				ck.checkView(d, c)
			} else if len(d.seen[c].list) > 0 {
				ck.add(Invented, d.seen[c].list[0].msg, "%s was shown messages of %s, but its user is not a member", d.name, e.convs[c].name)
			}
		}
		if n := ck.missing - missing; n > 0 {
			ck.lagging = append(ck.lagging, d.lastNotes(n))
		}
	}
	for i := range min(len(ck.all), maxHistories) {
		if v := &ck.all[i]; v.msg.number > 0 {
			v.History = ck.historyOf(v.msg)
		}
		if v := &ck.all[i]; v.past.number > 0 {
			v.History += "overtaken by:\n" + ck.historyOf(v.past)
		}
	}
	slices.SortStableFunc(ck.all, func(a, b Violation) int {
		return cmp.Compare(slices.Index(Kinds, a.Kind), slices.Index(Kinds, b.Kind))
	})
	return ck.all, ck.lagging
}

// maxHistories is how many violations get a full history.
const maxHistories = 50

type checker struct {
	*evidence
	stored  map[message]location
	all     []Violation
	missing int      // messages that devices never saw
	lagging []string // devices that lack messages, and what they did last
}

func (ck *checker) add(kind Kind, m message, format string, args ...any) {
	ck.all = append(ck.all, Violation{Kind: kind, Text: fmt.Sprintf(format, args...), msg: m})
}

// checkLog checks the log of a conversation.
func (ck *checker) checkLog(c int) {
	type key struct {
		sender int
		cid    string
	}
	name, cids := ck.convs[c].name, make(map[key]int64)
	for i := range ck.log[c] {
		r := &ck.log[c][i]
		m, ok := parse(r.text)
		if want := int64(i + 1); r.seq != want {
			ck.add(Gap, m, "the log of %s has seq %d, want %d", name, r.seq, want)
		}
		k := key{r.sender, r.cid}
		if first, twice := cids[k]; twice {
			ck.add(DuplicateStore, m, "the log of %s has cid %s twice, as seq %d and seq %d", name, r.cid, first, r.seq)
		}
		cids[k] = r.seq
		d := ck.device(m)
		if !ok || d == nil || int(m.number) > len(d.sent) || d.user != r.sender || d.sent[m.number-1].conv != c {
			ck.add(Invented, m, "seq %d in the log of %s is a message that its sender never sent there: %.80q", r.seq, name, r.text)
			continue
		}
		if p, twice := ck.stored[m]; twice {
			ck.add(DuplicateStore, m, "%q is stored twice: as seq %d of %s and as seq %d of %s", r.text, p.row.seq, ck.convs[p.conv].name, r.seq, name)
			continue
		}
		ck.stored[m] = location{c, r}
	}
}

func (ck *checker) device(m message) *journal {
	if m.number < 1 || m.device < 0 || int(m.device) >= len(ck.journals) {
		return nil
	}
	return ck.journals[m.device]
}

// checkAcks checks the answers that a device got.
func (ck *checker) checkAcks(d *journal) {
	for i := range d.sent {
		s, m := &d.sent[i], message{int32(d.index), int32(i + 1)}
		p, stored := ck.stored[m]
		switch {
		case s.outcome == pending:
			ck.add(Stuck, m, "%s got no answer to %q", d.name, m.text())
		case s.outcome == refused && stored:
			ck.add(Invented, m, "%q from %s was refused but is stored as seq %d; the refusal: %s", m.text(), d.name, p.row.seq, s.err)
		case s.outcome != acked:
		case !stored:
			ck.add(Lost, m, "%s got an ACK with seq %d of %s for %q, but it isn't stored", d.name, s.seq, ck.convs[s.conv].name, m.text())
		case p.row.seq != s.seq:
			ck.add(Reordered, m, "%s got an ACK with seq %d of %s for %q, but it is stored as seq %d", d.name, s.seq, ck.convs[s.conv].name, m.text(), p.row.seq)
		}
	}
}

// checkRepeats checks the answers to messages that were sent again after their
// ACKs.
func (ck *checker) checkRepeats(d *journal) {
	for _, a := range d.repeats {
		m := message{int32(d.index), a.number}
		p, stored := ck.stored[m]
		switch {
		case !stored: // checkAcks reports it
		case a.errno != proto.Done:
			ck.add(Invented, m, "%q from %s is stored as seq %d, but was refused with errno %d when it was sent again", m.text(), d.name, p.row.seq, a.errno)
		case p.row.seq != a.seq:
			ck.add(Reordered, m, "%q from %s is stored as seq %d of %s, but got an ACK with seq %d when it was sent again", m.text(), d.name, p.row.seq, ck.convs[p.conv].name, a.seq)
		}
	}
}

// checkOrder checks that messages of a device to a conversation are stored in
// the order of sending. If the device was killed before it got an answer, that
// message may be stored after those sent after the restart.
func (ck *checker) checkOrder(d *journal) {
	type least struct {
		seq int64
		msg message
	}
	type after struct { // of the messages sent later, the one stored first
		session     int32
		here, later least // in the same session, and in later ones
	}
	none := least{seq: math.MaxInt64}
	afters := make(map[int]*after)
	for i := len(d.sent) - 1; i >= 0; i-- {
		s, m := &d.sent[i], message{int32(d.index), int32(i + 1)}
		p, stored := ck.stored[m]
		if !stored {
			continue
		}
		a := afters[s.conv]
		if a == nil {
			a = &after{session: s.session, here: none, later: none}
			afters[s.conv] = a
		}
		if a.session != s.session {
			if a.here.seq < a.later.seq {
				a.later = a.here
			}
			a.session, a.here = s.session, none
		}
		first := a.here
		if s.outcome == acked && a.later.seq < first.seq {
			first = a.later
		}
		if first.seq < p.row.seq {
			ck.add(Overtaken, m, "%s sent n%d to %s before n%d, but they are stored as seq %d and seq %d",
				d.name, m.number, ck.convs[s.conv].name, first.msg.number, p.row.seq, first.seq)
			ck.all[len(ck.all)-1].past = first.msg
		}
		if p.row.seq < a.here.seq {
			a.here = least{p.row.seq, m}
		}
	}
}

// checkView checks what a device was shown of a conversation.
func (ck *checker) checkView(d *journal, c int) {
	name, log, v := ck.convs[c].name, ck.log[c], &d.seen[c]
	has := make([]bool, len(log)+1)      // by seq: shown, or acknowledged
	reported := make([]bool, len(log)+1) // by seq: missing, and reported
	for i := range d.sent {
		if s := &d.sent[i]; s.conv == c && s.outcome == acked && s.seq < int64(len(has)) {
			has[s.seq] = true
		}
	}
	var (
		session int32 = -1
		last    int64
		once    map[int64]struct{} // shown in this session
	)
	for _, s := range v.list {
		if s.seq < 1 || s.seq > int64(len(log)) {
			ck.add(Invented, s.msg, "%s was shown %s as seq %d of %s, but that log ends at seq %d", d.name, quoted(s, v), s.seq, name, len(log))
			continue
		}
		if m, _ := parse(log[s.seq-1].text); m != s.msg || v.altered[s.seq] != "" {
			ck.add(Invented, s.msg, "%s was shown %s as seq %d of %s, but the log has %q there", d.name, quoted(s, v), s.seq, name, log[s.seq-1].text)
			continue
		}
		if d.sentItself(s) {
			ck.add(Doubled, s.msg, "%s was shown its own message %q, seq %d of %s", d.name, s.msg.text(), s.seq, name)
		}
		if s.session != session {
			session, last, once = s.session, d.startSeqs[s.session][c], make(map[int64]struct{})
			if !d.hasSDK && s.seq > last+1 {
				ck.add(Gap, s.msg, "%s got seq %d of %s as the first push on a connection, but its last receipt was for seq %d", d.name, s.seq, name, last)
			}
			if !d.hasSDK {
				last = s.seq - 1 // repeats are allowed
			}
		}
		_, twice := once[s.seq]
		switch {
		case twice || d.hasSDK && s.seq <= last && len(once) == 0:
			ck.add(Doubled, s.msg, "%s was shown seq %d of %s twice", d.name, s.seq, name)
		case s.seq < last:
			ck.add(Reordered, s.msg, "%s was shown seq %d of %s after seq %d", d.name, s.seq, name, last)
		case !d.hasSDK && len(once) > 0 && s.seq > last+1:
			first := last + 1
			m, _ := parse(log[first-1].text)
			ck.add(Gap, m, "%s got seq %d of %s right after seq %d on the same connection", d.name, s.seq, name, last)
			for missing := first; missing < s.seq; missing++ {
				reported[missing] = true
			}
		}
		once[s.seq] = struct{}{}
		has[s.seq] = true
		last = max(last, s.seq)
	}
	for seq := 1; seq <= len(log); seq++ {
		if has[seq] || reported[seq] {
			continue
		}
		ck.missing++
		m, _ := parse(log[seq-1].text)
		if sender := ck.device(m); sender != nil && int(m.number) <= len(sender.sent) && sender.sent[m.number-1].outcome == acked {
			ck.add(Lost, m, "%s never saw seq %d of %s, which was acknowledged to %s", d.name, seq, name, sender.name)
		} else {
			ck.add(Gap, m, "%s never saw seq %d of %s (not acknowledged)", d.name, seq, name)
		}
	}
}

// sentItself reports whether the device sent a message in the session that was
// shown it. If so, the ACK shows the message, and a push of it is a violation. In
// a later session, a device that hadn't saved its state can't know that it sent
// the message.
func (j *journal) sentItself(s shown) bool {
	return int(s.msg.device) == j.index && s.msg.number > 0 && int(s.msg.number) <= len(j.sent) && j.sent[s.msg.number-1].session == s.session
}

func quoted(s shown, v *seen) string {
	if text := v.altered[s.seq]; text != "" {
		return fmt.Sprintf("%.80q", text)
	}
	return fmt.Sprintf("%q", s.msg.text())
}

// around is how long before and after a message a note may be, in ns, to be
// part of the message's history.
const around = int64(3 * time.Second)

// historyOf returns everything known about a message.
func (ck *checker) historyOf(m message) string {
	d := ck.device(m)
	if d == nil || int(m.number) > len(d.sent) {
		return ""
	}
	var lines []note
	add := func(at int64, format string, args ...any) {
		lines = append(lines, note{at, fmt.Sprintf(format, args...)})
	}
	s := &d.sent[m.number-1]
	from, to := s.at, max(s.at, s.done)
	add(s.at, "%s sent it to %s", d.name, ck.convs[s.conv].name)
	switch s.outcome {
	case acked:
		add(s.done, "%s got the ACK: seq %d", d.name, s.seq)
	case refused:
		add(s.done, "%s was refused: %s", d.name, s.err)
	case unsure:
		add(s.done, "%s never got an answer: %s", d.name, s.err)
	}
	for _, w := range d.wire {
		if w.number != m.number {
			continue
		}
		switch {
		case w.answer:
			add(w.at, "answer on its connection %d: errno %d", w.conn, w.errno)
		case w.retry:
			add(w.at, "resent on its connection %d, with retry set", w.conn)
		default:
			add(w.at, "sent on its connection %d", w.conn)
		}
	}
	for _, a := range d.repeats {
		if a.number == m.number {
			add(a.at, "sent again by its user's resender, and answered with errno %d, seq %d", a.errno, a.seq)
			to = max(to, a.at)
		}
	}
	p, stored := ck.stored[m]
	if stored {
		at := int64(p.row.at.Sub(d.began))
		add(at, "stored as seq %d of %s (by the server's clock, to the millisecond)", p.row.seq, ck.convs[p.conv].name)
		from, to = min(from, at), max(to, at)
	}
	var never []string
	for _, other := range ck.journals {
		if !slices.Contains(ck.convs[s.conv].members, other.user) {
			continue
		}
		got := other == d && s.outcome == acked
		for _, e := range other.seen[s.conv].list {
			if e.msg == m {
				add(e.at, "%s was shown it as seq %d", other.name, e.seq)
				got, to = true, max(to, min(e.at, s.at+10*around))
			}
		}
		if !got {
			never = append(never, other.name)
		}
	}
	for _, other := range ck.journals {
		if other != d && !slices.Contains(never, other.name) {
			continue
		}
		for _, n := range other.notes {
			if n.at >= from-around && n.at <= to+around {
				add(n.at, "%s: %s", other.name, n.text)
			}
		}
	}
	for _, f := range ck.faults {
		if f.at >= from-around && f.at <= to+around {
			add(f.at, "fault: %s", f.text)
		}
	}
	return formatHistory(lines, never, stored)
}

// formatHistory formats notes in order of time, then the devices that were
// never shown the message.
func formatHistory(lines []note, never []string, stored bool) string {
	slices.SortStableFunc(lines, func(a, b note) int { return cmp.Compare(a.at, b.at) })
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%10.3fs  %s\n", float64(l.at)/1e9, l.text)
	}
	if len(never) > 0 {
		fmt.Fprintf(&b, "     never  shown to %s\n", strings.Join(never, ", "))
	}
	if !stored {
		b.WriteString("     never  stored\n")
	}
	return b.String()
}
