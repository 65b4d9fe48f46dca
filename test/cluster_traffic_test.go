package test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"chatd/client"
)

// traffic is a set of people who send messages while a test causes faults: each to a
// group of all of them, and to the next person. It records the acknowledged messages
// and compares them with those that everyone received.
type traffic struct {
	t      *testing.T
	people []*person
	group  client.Conv

	stop    context.CancelFunc
	ctx     context.Context
	senders sync.WaitGroup
	said    []atomic.Int64 // by person: number of the last message to the group passed to Send

	mu   sync.Mutex
	acks map[talk]map[int64]string // texts of acknowledged messages, by conversation and seq
}

// talk is a conversation of the traffic: the group if from is -1, otherwise that of
// person from with the next one.
type talk struct{ from int }

const (
	talkers   = 6
	talkPause = 10 * time.Millisecond // between a person's messages: short enough that some are always in flight
)

// newTraffic starts sending. Person i connects to addrs[i], or to the last address
// if there are fewer.
func newTraffic(t *testing.T, prefix string, addrs ...string) *traffic {
	t.Helper()
	tr := &traffic{t: t, acks: make(map[talk]map[int64]string), said: make([]atomic.Int64, talkers)}
	for i := range talkers {
		tr.people = append(tr.people, newPerson(t, addrs[min(i, len(addrs)-1)], fmt.Sprint(prefix, " ", i)))
	}
	id, err := tr.people[0].CreateGroup(t.Context(), prefix, "")
	if err != nil {
		t.Fatal(err)
	}
	tr.group = client.Group(id)
	for _, p := range tr.people[1:] {
		if _, err := p.JoinGroup(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	tr.ctx, tr.stop = context.WithCancel(t.Context())
	t.Cleanup(func() { tr.stop(); tr.senders.Wait() })
	for i := range tr.people {
		tr.senders.Go(func() { tr.send(i, talk{-1}, tr.group) })
		tr.senders.Go(func() { tr.send(i, talk{i}, client.User(tr.people[(i+1)%talkers].id)) })
	}
	return tr
}

// send sends messages to a conversation until the traffic is stopped.
func (tr *traffic) send(i int, in talk, conv client.Conv) {
	tick := time.NewTicker(talkPause)
	defer tick.Stop()
	for n := int64(1); ; n++ {
		select {
		case <-tr.ctx.Done():
			return
		case <-tick.C:
		}
		text := fmt.Sprint(i, " ", n)
		if in.from < 0 {
			tr.said[i].Store(n)
		}
		// Not tr.ctx: let the last Send finish when the traffic is stopped.
		ctx, cancel := context.WithTimeout(context.Background(), 2*clusterTimeout)
		r, err := tr.people[i].Send(ctx, conv, text)
		cancel()
		if err != nil {
			tr.t.Errorf("send %q to %s: %v", text, conv, err)
			return
		}
		tr.mu.Lock()
		if tr.acks[in] == nil {
			tr.acks[in] = make(map[int64]string)
		}
		if other, ok := tr.acks[in][r.Seq]; ok {
			tr.t.Errorf("%s: both %q and %q got seq %d", conv, other, text, r.Seq)
		}
		tr.acks[in][r.Seq] = text
		tr.mu.Unlock()
	}
}

// awaitMessages waits until each person in who has received a group message from
// each other one of them, sent after this call. Without arguments, who is everyone.
func (tr *traffic) awaitMessages(who ...int) {
	tr.t.Helper()
	if len(who) == 0 {
		for i := range tr.people {
			who = append(who, i)
		}
	}
	want := make(map[int]int64)
	for _, i := range who {
		want[i] = tr.said[i].Load() + 1
	}
	for _, i := range who {
		tr.people[i].until("new group messages of the others", clusterTimeout, func() bool {
			left := len(who) - 1
			for _, j := range who {
				if j != i && slices.ContainsFunc(tr.people[i].seen[tr.group], func(m client.Message) bool {
					from, n := parseTalk(m.Text)
					return from == j && n >= want[j]
				}) {
					left--
				}
			}
			return left == 0
		})
	}
}

// parseTalk parses a message text: the sender's index and the message number.
func parseTalk(text string) (from int, n int64) {
	a, b, _ := strings.Cut(text, " ")
	from, _ = strconv.Atoi(a)
	n, _ = strconv.ParseInt(b, 10, 64)
	return from, n
}

// finish stops the traffic and checks that everyone has received all acknowledged
// messages, once, in the same order and without gaps.
func (tr *traffic) finish() {
	tr.t.Helper()
	tr.stop()
	tr.senders.Wait()
	total := 0
	for in, acks := range tr.acks {
		total += len(acks)
		for seq := int64(1); seq <= int64(len(acks)); seq++ {
			if acks[seq] == "" {
				tr.t.Errorf("%v: %d messages were acknowledged, but none with seq %d", in, len(acks), seq)
				break
			}
		}
		for i, p := range tr.people {
			conv := tr.group
			if in.from >= 0 {
				if (in.from+1)%talkers != i {
					continue
				}
				conv = client.User(tr.people[in.from].id)
			}
			tr.check(p, i, conv, acks)
		}
	}
	if total == 0 {
		tr.t.Error("no message was acknowledged")
	}
	tr.t.Logf("%d messages acknowledged, %d reconnects", total, tr.reconnects())
}

func (tr *traffic) reconnects() (n uint64) {
	for _, p := range tr.people {
		n += p.Stats().Reconnects
	}
	return n
}

// check compares the messages that person i has received with the acknowledged
// messages of others.
func (tr *traffic) check(p *person, i int, conv client.Conv, acks map[int64]string) {
	tr.t.Helper()
	var want []int64
	for seq, text := range acks {
		if from, _ := parseTalk(text); from != i {
			want = append(want, seq)
		}
	}
	slices.Sort(want)
	if !p.until(fmt.Sprintf("all %d messages of %s", len(want), conv), clusterTimeout, func() bool { return len(p.seen[conv]) >= len(want) }) {
		p.mu.Lock()
		tr.t.Logf("%s received %d messages", p.name, len(p.seen[conv]))
		p.mu.Unlock()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for k, m := range p.seen[conv] {
		if k >= len(want) || m.Seq != want[k] || m.Text != acks[m.Seq] {
			tr.t.Errorf("%s in %s: received message %d is %q with seq %d; %d messages of others were acknowledged, and %q got this seq",
				p.name, conv, k+1, m.Text, m.Seq, len(want), acks[m.Seq])
			return
		}
	}
}
