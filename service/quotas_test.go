package service_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/proto"
)

// serveQuota starts a node where a user may store 864,000 bytes a day: 10 per
// second. It also returns the clock of the node and its store.
func serveQuota(t *testing.T, change ...func(*setup)) (*node, *atomicTime) {
	var now *atomicTime
	n := serve(t, append(change, func(s *setup) {
		now = standing(s)
		s.model.Now = now.get
		s.model.BytesPerDay = 864_000
	})...)
	return n, now
}

// long returns a message that takes a 27th of what a user may store in a day.
func long(c conv) obj {
	r := c.chat("")
	r["msg"] = strings.Repeat("x", 32_000-len(r["cid"].(string)))
	return r
}

// fifty returns a message that takes 50 bytes with its cid, and so five seconds.
func fifty(c conv, text string) obj {
	r := c.chat("")
	r["msg"] = text + strings.Repeat(".", 50-len(text)-len(r["cid"].(string)))
	return r
}

// A message over the quota of a day gets errno 9 and throttles the connection, like
// other messages that are refused with errno 9. errmsg says why. What was stored
// before is still acknowledged when it is sent again. Others aren't affected.
func TestQuotaRefusal(t *testing.T) {
	t.Parallel()
	n, now := serveQuota(t)
	ids := n.users("anna", "berta")
	a, b := n.login(ids[0]), n.login(ids[1])
	first := long(with(ids[1]))
	if f := a.ok(first); f.int("seq") != 1 {
		t.Fatalf("a message got %v, want seq 1", f)
	}
	for range 26 {
		a.ok(long(with(ids[0])))
	}
	again := obj{"retry": true}.with(first)
	if f := a.ok(again); f.int("seq") != 1 {
		t.Errorf("a stored message, sent again over quota, got %v; want seq 1", f)
	}
	c := fifty(with(ids[1]), "over")
	f := a.tooFast(5*time.Second, c)
	if f.op() != proto.ONE_CHAT_ACK || f.str("cid") != c["cid"] || !strings.Contains(f.str("errmsg"), "in a day") {
		t.Errorf("a message over quota got %v, want ONE_CHAT_ACK with its cid, and an errmsg about the quota of a day", f)
	}
	a.tooFast(5*time.Second, obj{"msgid": proto.PING}) // the whole connection waits
	b.say(with(ids[0]), "not affected")
	now.add(5 * time.Second)
	if f := a.ok(c); f.int("seq") != 3 {
		t.Errorf("sent again after the wait: got %v, want seq 3", f)
	}
	if c := n.limited("user_day"); c != 1 {
		t.Errorf("user_day counted %d times, want 1", c)
	}
}

// A message that is sent before the refusal arrives isn't stored, even if there is
// room for it by then: it would overtake the refused one. Sent again in order after
// the wait, all are stored in order.
func TestQuotaKeepsOrder(t *testing.T) {
	t.Parallel()
	inside, gate := make(chan struct{}), make(chan struct{})
	open := sync.OnceFunc(func() { close(gate) })
	defer open()
	n, now := serveQuota(t, func(s *setup) {
		var once sync.Once
		s.sunk = func(first []byte) {
			if strings.HasPrefix(string(first), "zero") {
				once.Do(func() { close(inside) })
				<-gate
			}
		}
	})
	anna := n.user("anna")
	w := n.login(anna)
	for range 27 {
		w.ok(long(with(anna)))
	}
	var chats []obj
	var rids []int64
	send := func(text string) {
		chats = append(chats, fifty(with(anna), text))
		rids = append(rids, w.ask(chats[len(chats)-1]))
	}
	send("zero")
	<-inside // it was refused, and the answer is on its way
	now.add(time.Minute)
	send("one")
	send("two")
	open()
	for i, rid := range rids {
		f, want := w.next(), proto.Unavailable
		if i == 0 {
			want = proto.TooFast
		}
		if f.int("rid") != rid || proto.Errno(f.int("errno")) != want {
			t.Fatalf("message %d got %v, want its answer with errno %d", i, f, want)
		}
	}
	chats = append(chats, fifty(with(anna), "three"))
	w.tooFast(5*time.Second, chats[3]) // it was on its way
	now.add(time.Minute)
	for i, c := range chats {
		if f := w.ok(c); f.int("seq") != int64(28+i) {
			t.Errorf("message %d, sent again: got %v, want seq %d", i, f, 28+i)
		}
	}
}

// Strangers get errno 13 and an errmsg that says why, and may go on with other
// requests at once. The limit holds for all nodes together, exactly.
func TestStrangersAcrossNodes(t *testing.T) {
	t.Parallel()
	one, two, _ := pairOfNodes(t, func(s *setup) { s.model.MessagesToStranger, s.model.MessagesFromStrangers = 10, 1000 })
	ids := one.users("anna", "berta")
	a, a2, b := one.login(ids[0]), two.login(ids[0], obj{"device": "two"}), two.login(ids[1])
	var wg sync.WaitGroup
	var stored [2]int
	for i, w := range []*wire{a, a2} {
		wg.Go(func() {
			for range 10 {
				if f := w.call(with(ids[1]).chat("buy this")); f.int("errno") == 0 {
					stored[i]++
				}
			}
		})
	}
	wg.Wait()
	if stored[0]+stored[1] != 10 {
		t.Errorf("a stranger stored %d and %d messages on two nodes, want 10 in total", stored[0], stored[1])
	}
	f := a.refused(proto.LimitFull, with(ids[1]).chat("buy this"))
	if want := fmt.Sprintf("user %d hasn't answered you yet", ids[1]); !strings.HasPrefix(f.str("errmsg"), want) || f.has("retry_after_ms") {
		t.Errorf("got %v, want an errmsg that begins with %q, and no retry_after_ms", f, want)
	}
	if c := one.limited("to_stranger") + two.limited("to_stranger"); c != 11 {
		t.Errorf("to_stranger counted %d times, want 11", c)
	}
	a.barrier() // isn't throttled
	b.has(with(ids[0]), 1, 10)
	b.say(with(ids[0]), "who are you?")
	a2.say(with(ids[1]), "anna")
	a.say(with(ids[1]), "anna, on another node")
}
