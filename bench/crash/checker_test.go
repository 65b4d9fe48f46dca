package crash

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/proto"
)

// scene is a small run without violations. User a has a phone, which sends to
// user b, who has a tablet and a watch.
type scene struct {
	evidence
	phone, tablet, watch *journal
}

func newScene() *scene {
	began := time.Now()
	s := &scene{
		phone:  newJournal(0, 0, "a's phone", true, 1, began),
		tablet: newJournal(1, 1, "b's tablet", true, 1, began),
		watch:  newJournal(2, 1, "b's watch", false, 1, began),
	}
	s.convs = []conv{{name: "a and b", members: []int{0, 1}}}
	s.journals = []*journal{s.phone, s.tablet, s.watch}
	s.log = make([][]row, 1)
	for _, j := range s.journals[:2] {
		j.startSeqs = [][]int64{{0}}
	}
	s.watch.startSeqs = [][]int64{{0}, {4}, {6}}
	for n := int64(1); n <= 6; n++ {
		m := s.phone.recordSent(0)
		s.store(n, m, began)
		s.phone.recordOutcome(m, acked, n, nil)
		s.tablet.recordShown(0, n, m.text(), 0)
		s.watch.recordShown(0, n, m.text(), int32(n/4)) // two connections
	}
	return s
}

func (s *scene) store(seq int64, m message, at time.Time) {
	s.log[0] = append(s.log[0], row{seq, 0, fmt.Sprint("cid ", m.number), m.text(), at})
}

// restore rewrites the log as if the messages had been stored in this order,
// with matching ACKs.
func (s *scene) restore(order ...int32) {
	s.log[0] = nil
	s.phone.seen[0] = seen{}
	for _, j := range []*journal{s.tablet, s.watch} {
		*s.shown(j) = nil
	}
	for i, n := range order {
		seq, m := int64(i+1), message{0, n}
		s.store(seq, m, s.phone.began)
		s.phone.sent[n-1].seq = seq
		s.tablet.recordShown(0, seq, m.text(), 0)
		s.watch.recordShown(0, seq, m.text(), int32(seq/4))
	}
}

func (s *scene) shown(j *journal) *[]shown { return &j.seen[0].list }

// Each broken promise is reported as its kind, once for each message and
// device. A run that keeps all promises has no violations.
func TestVerdicts(t *testing.T) {
	first := message{0, 1}
	for _, c := range []struct {
		name  string
		spoil func(s *scene)
		want  map[Kind]int
		text  string // part of the text of a violation
	}{
		{"nothing", func(*scene) {}, nil, ""},
		{"acknowledged and not stored", func(s *scene) { m := s.phone.recordSent(0); s.phone.recordOutcome(m, acked, 7, nil) },
			map[Kind]int{Lost: 1}, `a's phone got an ACK with seq 7 of a and b for "d0 n7 `},
		{"never seen", func(s *scene) { *s.shown(s.tablet) = (*s.shown(s.tablet))[:5] },
			map[Kind]int{Lost: 1}, "b's tablet never saw seq 6 of a and b, which was acknowledged to a's phone"},
		{"first push is beyond the last receipt", func(s *scene) {
			s.watch.startSeqs[1][0] = 1
			*s.shown(s.watch) = slices.Delete(*s.shown(s.watch), 3, 4)
		},
			map[Kind]int{Gap: 1, Lost: 1}, "b's watch got seq 5 of a and b as the first push on a connection, but its last receipt was for seq 1"},
		{"first push is beyond the last receipt, but all were seen", func(s *scene) { s.watch.startSeqs[1][0] = 2 },
			map[Kind]int{Gap: 1}, "b's watch got seq 4 of a and b as the first push on a connection, but its last receipt was for seq 2"},
		{"never seen, between two connections", func(s *scene) { *s.shown(s.watch) = slices.Delete(*s.shown(s.watch), 3, 4) },
			map[Kind]int{Lost: 1}, "b's watch never saw seq 4"},
		{"never seen and never acknowledged", func(s *scene) {
			m := s.phone.recordSent(0)
			s.phone.recordOutcome(m, unsure, 0, errors.New("ended"))
			s.store(7, m, s.phone.began)
			s.tablet.recordShown(0, 7, m.text(), 0)
			s.phone.startSeqs = append(s.phone.startSeqs, []int64{6})
			s.phone.recordShown(0, 7, m.text(), 1)
		}, map[Kind]int{Gap: 1}, "b's watch never saw seq 7 of a and b (not acknowledged)"},
		{"a hole on one connection", func(s *scene) { *s.shown(s.watch) = slices.Delete(*s.shown(s.watch), 1, 2) },
			map[Kind]int{Gap: 1}, "b's watch got seq 3 of a and b right after seq 1 on the same connection"},
		{"shown twice", func(s *scene) { s.tablet.recordShown(0, 3, message{0, 3}.text(), 0) },
			map[Kind]int{Doubled: 1}, "b's tablet was shown seq 3 of a and b twice"},
		{"pushed twice on a connection", func(s *scene) { s.watch.recordShown(0, 6, message{0, 6}.text(), 1) },
			map[Kind]int{Doubled: 1}, "b's watch was shown seq 6 of a and b twice"},
		{"shown again after a restart with saved state", func(s *scene) {
			s.tablet.startSeqs = append(s.tablet.startSeqs, []int64{6})
			s.tablet.recordShown(0, 6, message{0, 6}.text(), 1)
		}, map[Kind]int{Doubled: 1}, "b's tablet was shown seq 6 of a and b twice"},
		{"shown again after a restart without saved state", func(s *scene) {
			s.tablet.startSeqs = append(s.tablet.startSeqs, []int64{4})
			for n := int32(5); n <= 6; n++ {
				s.tablet.recordShown(0, int64(n), message{0, n}.text(), 1)
			}
		}, nil, ""},
		{"pushed again on the next connection", func(s *scene) { s.watch.recordShown(0, 6, message{0, 6}.text(), 2) }, nil, ""},
		{"out of order", func(s *scene) { l := *s.shown(s.tablet); l[2], l[3] = l[3], l[2] },
			map[Kind]int{Reordered: 1}, "b's tablet was shown seq 3 of a and b after seq 4"},
		{"stored after two that were sent later", func(s *scene) { s.restore(1, 3, 4, 2, 5, 6) },
			map[Kind]int{Overtaken: 1}, "a's phone sent n2 to a and b before n3, but they are stored as seq 4 and seq 2"},
		{"one stored before two that were sent earlier", func(s *scene) { s.restore(1, 4, 2, 3, 5, 6) },
			map[Kind]int{Overtaken: 2}, "a's phone sent n2 to a and b before n4, but they are stored as seq 3 and seq 2"},
		{"never answered, and stored after a later message of the same session", func(s *scene) {
			s.restore(1, 2, 4, 3, 5, 6)
			s.phone.sent[2].outcome = unsure
			s.phone.recordShown(0, 4, message{0, 3}.text(), 1) // another session: it can't know
			s.phone.startSeqs = append(s.phone.startSeqs, []int64{0})
		}, map[Kind]int{Overtaken: 1}, "a's phone sent n3 "},
		{"never answered, and stored after a message of the device's next session", func(s *scene) {
			s.restore(1, 2, 4, 3, 5, 6)
			s.phone.sent[2].outcome = unsure
			s.phone.recordShown(0, 4, message{0, 3}.text(), 1)
			s.phone.startSeqs = append(s.phone.startSeqs, []int64{0})
			for i := 3; i < 6; i++ {
				s.phone.sent[i].session = 1
			}
		}, nil, ""},
		{"acknowledged, and stored after a message of the device's next session", func(s *scene) {
			s.restore(1, 2, 4, 3, 5, 6)
			for i := 3; i < 6; i++ {
				s.phone.sent[i].session = 1
			}
		}, map[Kind]int{Overtaken: 1}, "a's phone sent n3 "},
		{"shown to the device that sent it", func(s *scene) { s.phone.recordShown(0, 6, message{0, 6}.text(), 0) },
			map[Kind]int{Doubled: 1}, "a's phone was shown its own message \"d0 n6 "},
		{"shown to the device that sent it, after a restart without saved state", func(s *scene) {
			s.phone.startSeqs = append(s.phone.startSeqs, []int64{5})
			s.phone.recordShown(0, 6, message{0, 6}.text(), 1)
		}, nil, ""},
		{"stored with another seq than acknowledged", func(s *scene) { s.phone.sent[4].seq = 4 },
			map[Kind]int{Reordered: 1, Lost: 1}, "but it is stored as seq 5"},
		{"a hole in the log", func(s *scene) { s.log[0][5].seq = 7; s.log[0] = s.log[0][:6] },
			map[Kind]int{Gap: 1, Reordered: 1}, "the log of a and b has seq 7, want 6"},
		{"shown a message that nobody sent", func(s *scene) { s.tablet.recordShown(0, 7, "hello", 0) },
			map[Kind]int{Invented: 1}, `b's tablet was shown "hello" as seq 7 of a and b, but that log ends at seq 6`},
		{"pushed and not stored", func(s *scene) {
			m := s.phone.recordSent(0)
			s.phone.recordOutcome(m, unsure, 0, nil)
			s.tablet.recordShown(0, 7, m.text(), 0)
		},
			map[Kind]int{Invented: 1}, "but that log ends at seq 6"},
		{"shown with the seq of another message", func(s *scene) { (*s.shown(s.tablet))[5].msg = first },
			map[Kind]int{Invented: 1, Lost: 1}, "but the log has"},
		{"altered", func(s *scene) { s.log[0][2].text = strings.ToUpper(s.log[0][2].text) },
			map[Kind]int{Invented: 3, Lost: 1, Gap: 2}, "its sender never sent there"},
		{"refused and stored", func(s *scene) { s.phone.sent[5].outcome = refused }, map[Kind]int{Invented: 1, Gap: 1}, "was refused"},
		{"shown to a user who isn't a member", func(s *scene) { s.convs[0].members = []int{0} },
			map[Kind]int{Invented: 2}, "its user is not a member"},
		{"the same cid twice", func(s *scene) { s.log[0][3].cid = s.log[0][2].cid },
			map[Kind]int{DuplicateStore: 1}, "has cid cid 3 twice, as seq 3 and seq 4"},
		{"stored twice", func(s *scene) {
			s.store(7, first, s.phone.began)
			s.log[0][6].cid = "another"
			for _, j := range s.journals {
				j.recordShown(0, 7, first.text(), 1)
			}
			s.tablet.startSeqs, s.phone.startSeqs = [][]int64{{0}, {6}}, [][]int64{{0}, {6}}
		}, map[Kind]int{DuplicateStore: 1}, "is stored twice"},
		{"sent again after the ACK", func(s *scene) { s.phone.recordRepeat(repeat{number: 3, seq: 3}) }, nil, ""},
		{"sent again, and acknowledged with another seq", func(s *scene) { s.phone.recordRepeat(repeat{number: 3, seq: 7}) },
			map[Kind]int{Reordered: 1}, "is stored as seq 3 of a and b, but got an ACK with seq 7 when it was sent again"},
		{"sent again and refused", func(s *scene) { s.phone.recordRepeat(repeat{number: 3, errno: proto.NotFound}) },
			map[Kind]int{Invented: 1}, "was refused with errno 5 when it was sent again"},
		{"never answered", func(s *scene) { s.phone.recordSent(0) }, map[Kind]int{Stuck: 1}, "a's phone got no answer"},
		{"locked out", func(s *scene) { s.watch.violate(LockedOut, "login refused: errno 1") }, map[Kind]int{LockedOut: 1}, "b's watch: login refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene()
			c.spoil(s)
			all, _ := s.check()
			got := make(map[Kind]int)
			var texts []string
			for _, v := range all {
				got[v.Kind]++
				texts = append(texts, string(v.Kind)+": "+v.Text)
			}
			if !maps.Equal(got, c.want) {
				t.Errorf("violations = %v, want %v:\n%s", got, c.want, strings.Join(texts, "\n"))
			}
			if !strings.Contains(strings.Join(texts, "\n"), c.text) {
				t.Errorf("no violation contains %q:\n%s", c.text, strings.Join(texts, "\n"))
			}
		})
	}
}

// The history of a violation lists what each device did with the message and
// when, and which faults were active.
func TestHistory(t *testing.T) {
	s := newScene()
	*s.shown(s.watch) = (*s.shown(s.watch))[:5]
	s.watch.notef("disconnected")
	s.faults = []note{{s.phone.now(), "node killed 1"}}
	all, behind := s.check()
	if len(all) != 1 || len(behind) != 1 || !strings.Contains(behind[0], "b's watch never saw 1 messages; its last events:") || !strings.HasSuffix(behind[0], "disconnected]") {
		t.Fatalf("%d violations and behind = %q, want 1 violation and b's watch behind", len(all), behind)
	}
	for _, part := range []string{"a's phone sent it to a and b", "a's phone got the ACK: seq 6", "stored as seq 6", "b's tablet was shown it as seq 6",
		"b's watch: disconnected", "fault: node killed 1", "never  shown to b's watch"} {
		if !strings.Contains(all[0].History, part) {
			t.Errorf("history lacks %q:\n%s", part, all[0].History)
		}
	}
}

// The history of an overtaken message includes the one that overtook it.
func TestHistoryOfOvertaken(t *testing.T) {
	s := newScene()
	s.restore(1, 3, 2, 4, 5, 6)
	all, _ := s.check()
	if len(all) != 1 {
		t.Fatalf("%d violations, want 1", len(all))
	}
	own, other, found := strings.Cut(all[0].History, "overtaken by:\n")
	if !found || !strings.Contains(own, "a's phone got the ACK: seq 3") || !strings.Contains(other, "a's phone got the ACK: seq 2") {
		t.Errorf("want the ACK of each message in its own part of the history:\n%s", all[0].History)
	}
}

// Every message has a text of its own, and parse notices every change to it.
func TestTexts(t *testing.T) {
	for n := range int32(50) {
		m := message{n % 7, n + 1}
		if got, ok := parse(m.text()); !ok || got != m {
			t.Errorf("parse(%q) = %v, %t; want %v, true", m.text(), got, ok, m)
		}
		for _, bad := range []string{m.text() + "x", m.text()[1:], "d1 n" + m.text(), "", "hello"} {
			if _, ok := parse(bad); ok {
				t.Errorf("parse(%q) succeeded, want failure", bad)
			}
		}
	}
}
