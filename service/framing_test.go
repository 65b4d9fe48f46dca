package service_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"chatd/model"
	"chatd/proto"
	"chatd/service"
)

// A frame that arrives byte by byte is decoded like one that arrives at once.
func TestByteByByte(t *testing.T) {
	t.Parallel()
	n := serve(t)
	id := n.user("anna")
	for _, w := range []*wire{n.dial(), n.dialWeb()} {
		for _, b := range w.pack(nil, obj{"msgid": proto.LOGIN, "id": id, "password": secret, "rid": 1}.json()) {
			w.write([]byte{b})
		}
		if f := w.answer(1); f.int("errno") != 0 {
			t.Errorf("login got %v, want errno 0", f)
		}
		frame := w.pack(nil, with(id).chat("note").json())
		frame = append(frame, w.pack(nil, obj{"msgid": proto.PING, "rid": 2}.json())...)
		for _, b := range frame {
			w.write([]byte{b})
		}
		w.op(proto.ONE_CHAT_ACK)
		w.answer(2)
	}
}

// If a client sends 500 messages in one write, more than the window, all are
// stored in the order of sending.
func TestManyInOneWrite(t *testing.T) {
	t.Parallel()
	const count = 500
	n := serve(t)
	ids := n.users("anna", "berta")
	berta := n.login(ids[1])
	for i, w := range []*wire{n.dial(), n.dialWeb()} {
		w.login(ids[0])
		reqs := make([]obj, count)
		for j := range reqs {
			reqs[j] = with(ids[1]).chat(fmt.Sprint(j)).with(obj{"rid": j})
		}
		w.send(reqs...)
		for j := range reqs {
			if f := w.op(proto.ONE_CHAT_ACK); f.int("rid") != int64(j) || f.int("seq") != int64(i*count+j+1) {
				t.Fatalf("answer %d is %v, want rid %d and seq %d", j, f, j, i*count+j+1)
			}
		}
		w.close()
	}
	berta.has(with(ids[0]), 1, 2*count)
	for seq, m := range berta.bodies[with(ids[0])] {
		if want := fmt.Sprint((seq - 1) % count); m.str("msg") != want {
			t.Errorf("seq %d has text %q, want %q", seq, m.str("msg"), want)
		}
	}
}

// A client may send requests without waiting for answers. They are served one
// after the other, and each sees the effects of those before it.
func TestPipeline(t *testing.T) {
	t.Parallel()
	n := serve(t)
	berta := n.user("berta")
	w := n.dial()
	w.send(
		obj{"msgid": proto.REG, "rid": 1, "name": "Anna", "password": secret},
		obj{"msgid": proto.LOGIN, "rid": 2, "name": "anna", "password": secret},
		obj{"msgid": proto.ADD_FRIEND, "rid": 3, "friendid": berta},
		with(berta).chat("one").with(obj{"rid": 4}),
		with(berta).chat("two").with(obj{"rid": 5}),
		with(berta).sync(obj{"rid": 6}),
		obj{"msgid": proto.CREATE_GROUP, "rid": 7, "groupname": "g", "groupdesc": ""},
		obj{"msgid": proto.CONVERSATIONS, "rid": 8},
		obj{"msgid": proto.LOGOUT, "rid": 9},
		obj{"msgid": proto.FIND_USER, "rid": 10, "userid": berta},
		obj{"msgid": proto.LOGIN, "rid": 11, "name": "ANNA", "password": secret},
	)
	got := make([]frame, 12)
	for rid := int64(1); rid <= 11; rid++ {
		f := w.next()
		if f.int("rid") != rid {
			t.Fatalf("got %v, want the answer to rid %d", f, rid)
		}
		want := proto.Done
		if rid == 10 {
			want = proto.NotLoggedIn
		}
		if proto.Errno(f.int("errno")) != want {
			t.Errorf("answer %d is %v, want errno %d", rid, f, want)
		}
		got[rid] = f
	}
	if ms := got[6].list("messages"); len(ms) != 2 || ms[1].str("msg") != "two" {
		t.Errorf("SYNC got %v, want the two messages sent before it", got[6])
	}
	if cs := got[8].list("conversations"); len(cs) != 2 {
		t.Errorf("CONVERSATIONS got %v, want the two conversations created before it", got[8])
	}
	if fs := got[11].list("friends"); len(fs) != 1 || fs[0].int("id") != berta {
		t.Errorf("the second LOGIN got %v, want the friend added before it", got[11])
	}
}

// slowStore is a store in which looking up the user "slow" blocks until release
// gets a value.
type slowStore struct {
	service.Store
	asked, release chan struct{}
}

func (s *slowStore) UserByNameKey(ctx context.Context, key string) (model.User, error) {
	if key == "slow" {
		s.asked <- struct{}{}
		<-s.release
	}
	return s.Store.UserByNameKey(ctx, key)
}

func slowed(st *slowStore) func(*setup) {
	return func(s *setup) {
		s.store = func(in service.Store) service.Store { st.Store = in; return st }
	}
}

// PING is answered at once, even behind a slow request, so that clients don't
// take a busy server for a dead one. Other requests wait for the slow one.
func TestPingOvertakes(t *testing.T) {
	t.Parallel()
	st := &slowStore{asked: make(chan struct{}), release: make(chan struct{})}
	n := serve(t, slowed(st))
	anna := n.user("anna")
	for _, dial := range []func() *wire{n.dial, n.dialWeb} {
		w := dial()
		w.login(anna)
		w.send(obj{"msgid": proto.FIND_USER, "name": "slow", "rid": -5}, with(w.id).chat("held").with(obj{"rid": 100}),
			obj{"msgid": proto.PING, "rid": 101})
		<-st.asked
		if f := w.next(); f.op() != proto.PONG || f.int("rid") != 101 {
			t.Errorf("the first frame is %v, want PONG with rid 101", f)
		}
		w.send(obj{"msgid": proto.PING})
		if f := w.next(); f.op() != proto.PONG || f.has("rid") {
			t.Errorf("the second frame is %v, want PONG without rid", f)
		}
		st.release <- struct{}{}
		if f := w.next(); f.int("rid") != -5 || f.int("errno") != int64(proto.NotFound) {
			t.Errorf("the third frame is %v, want rid -5 with errno %d", f, proto.NotFound)
		}
		if f := w.next(); f.int("rid") != 100 || f.int("errno") != 0 {
			t.Errorf("the fourth frame is %v, want rid 100 with errno 0", f)
		}
	}
}

// A WebSocket client and a TCP client can talk to each other, and texts arrive
// unchanged.
func TestWebSocketTalksWithTCP(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b := n.dialWeb(), n.login(ids[1])
	a.login(ids[0])
	texts := []string{"it's \"quoted\" \\ and \u0000 \u2028", "你好世", strings.Repeat("é", 16<<10), "<script>", "🙂"}
	for i, text := range texts {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		seq := from.say(with(to.id), text)
		to.upTo(with(from.id), seq)
		if got := to.bodies[with(from.id)][seq]; got.str("msg") != text || got.int("id") != from.id || got.int("toid") != to.id {
			t.Errorf("text %d arrived as %v, want %q from %d to %d", i, got, text, from.id, to.id)
		}
	}
	a.has(with(ids[1]), 1, int64(len(texts)))
	b.has(with(ids[0]), 1, int64(len(texts)))
}
