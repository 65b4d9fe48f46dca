package service_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"chatd/internal/setting"
	"chatd/model"
	"chatd/proto"
	"chatd/service"
)

// lateGroups is a store in which the first call of Groups blocks before it reads.
type lateGroups struct {
	service.Store
	*gate
}

func (s lateGroups) Groups(ctx context.Context, user int64) ([]model.Group, error) {
	s.pass()
	return s.Store.Groups(ctx, user)
}

// The seq of a group in LOGIN_ACK counts no message that is neither in offlinemsg nor
// covered by more: clients take all messages up to it as received. Messages that are
// stored while the answer is put together are pushed after it.
func TestLoginAckSeq(t *testing.T) {
	t.Parallel()
	g := newGate()
	n := serve(t, func(s *setup) {
		s.store = func(st service.Store) service.Store { return lateGroups{st, g} }
		s.reactor.QuickLanes = 16 // one worker is blocked
	})
	g.taken.Store(true) // not yet
	ids := n.users("anna", "berta")
	group, later := n.group(ids...), int64(0)
	a := n.login(ids[0])
	for range 3 {
		a.say(in(group), "before")
	}
	g.taken.Store(false)
	b := n.dial()
	rid := b.ask(obj{"msgid": proto.LOGIN, "id": ids[1], "password": secret, "ack": true})
	<-g.reached
	a.say(in(group), "meanwhile")
	later = a.ok(obj{"msgid": proto.CREATE_GROUP, "groupname": "later", "groupdesc": ""}).int("groupid")
	a.say(in(later), "before the join")
	other, err := model.Open(t.Context(), model.Options{DB: n.cfg.model.DB, Shared: true}) // as on another node
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.JoinGroup(t.Context(), later, ids[1], 10, 10); err != nil {
		t.Fatal(err)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	a.say(in(later), "after the join")
	close(g.open)
	ack := b.answer(rid)
	for _, l := range ack.list("groups") {
		if want := map[int64]int64{group: 3, later: 1}[l.int("id")]; l.int("seq") != want {
			t.Errorf("group %d has seq %d in LOGIN_ACK, want %d: offlinemsg %v, more %t", l.int("id"), l.int("seq"), want, ack.list("offlinemsg"), ack.bool("more"))
		}
	}
	b.has(in(group), 1, 4)
	b.upTo(in(later), 2)
	if got := b.pushed[in(later)]; len(got) != 1 {
		t.Errorf("the group that the user joined during the login: pushed seqs %v, want only 2", got)
	}
}

// A second device starts after what the user has sent on the first one: these messages
// were acknowledged to it. It makes no difference whether the first one is connected,
// here or on another node, and whether it sends receipts.
func TestFirstLoginSkipsOwnMessages(t *testing.T) {
	t.Parallel()
	for _, receipts := range []bool{false, true} {
		one, two, _ := pairOfNodes(t)
		ids := one.users("anna", "berta")
		g := one.group(ids...)
		a := one.login(ids[0], obj{"ack": receipts})
		for _, c := range []conv{with(ids[1]), with(ids[0]), in(g)} {
			for range 3 {
				a.say(c, "mine")
			}
		}
		for i, n := range []*node{one, two} {
			d := n.login(ids[0], obj{"ack": true, "device": fmt.Sprint("new ", i)})
			if l := d.welcome.list("offlinemsg"); len(l) > 0 || d.welcome.bool("more") {
				t.Errorf("receipts %t: login of a new device on node %s brought %v (more %t), want no messages of its user", receipts, n.cfg.name, l, d.welcome.bool("more"))
			}
		}
		b := two.login(ids[1])
		b.has(with(ids[0]), 1, 3)
		b.has(in(g), 1, 3)
	}
}

// latePages is a store in which the first read of a backlog blocks before it reads.
type latePages struct {
	service.Store
	*gate
}

func (s latePages) Pages(ctx context.Context, pages []model.PageRequest, maxBytes int) ([]model.Message, error) {
	if maxBytes == proto.MaxSyncBytes { // not the pages of LOGIN_ACK
		s.pass()
	}
	return s.Store.Pages(ctx, pages, maxBytes)
}

// A client may mark messages as read that it has from SYNC, while the messages before
// them are still to be pushed. The read receipt doesn't count these as delivered, even if
// the connection ends then.
func TestReadReceiptBeforePush(t *testing.T) {
	t.Parallel()
	g := newGate()
	n := serve(t, func(s *setup) {
		s.store = func(st service.Store) service.Store { return latePages{st, g} }
		s.reactor.QuickLanes = 16 // one worker is blocked
		s.reactor.Loops = 1
	})
	ids := n.users("anna", "berta")
	a := n.login(ids[0])
	const last = proto.MaxOffline + 100
	for range last {
		a.say(with(ids[1]), "x")
	}
	// Now the loop knows that nobody has blocked the other. It would have to ask the
	// database, which the connection can't while it waits for the backlog.
	g.taken.Store(true) // not yet
	first := n.login(ids[1], obj{"ack": true})
	first.send(with(ids[0]).receipt(1, obj{"read": true}))
	a.op(proto.RECEIPT)
	first.close()
	g.taken.Store(false)
	b := n.login(ids[1], obj{"ack": true})
	if !b.welcome.bool("more") {
		t.Fatalf("LOGIN_ACK %v, want more", b.welcome)
	}
	<-g.reached // the rest isn't pushed
	b.send(with(ids[0]).receipt(last, obj{"read": true}))
	if f := a.op(proto.RECEIPT); f.int("seq") != last {
		t.Errorf("the peer got %v, want seq %d", f, last)
	}
	b.close()
	close(g.open)
	n.settled(1)
	b = n.login(ids[1], obj{"ack": true})
	b.has(with(ids[0]), proto.MaxOffline+2, last) // the first login had 1, the second as many as LOGIN_ACK may have
}

// A read receipt counts even if the connection ends right after it.
func TestReadReceiptThenClose(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b := n.login(ids[0]), n.login(ids[1], obj{"ack": true})
	for i := int64(1); i <= 20; i++ {
		a.say(with(ids[1]), "x")
		b.upTo(with(ids[0]), i)
		b.send(with(ids[0]).receipt(i, obj{"read": true}))
		b.close()
		n.settled(1)
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) { // the node may still be looking up the one before
			list, _, err := n.db.Conversations(t.Context(), ids[1], 0, 10)
			if err == nil && len(list) == 1 && list[0].Read == i {
				break
			}
			if err != nil || time.Now().After(end) {
				t.Fatalf("after a read receipt for seq %d and the end of the connection: %+v, error %v; want it as the read cursor", i, list, err)
			}
		}
		b = n.login(ids[1], obj{"ack": true})
	}
}

// failingPages is a store in which reads of backlogs fail until the gate is open.
type failingPages struct {
	service.Store
	*gate
}

func (s failingPages) Pages(ctx context.Context, pages []model.PageRequest, maxBytes int) ([]model.Message, error) {
	if maxBytes == proto.MaxSyncBytes { // not the pages of LOGIN_ACK
		select {
		case <-s.open:
		default:
			if s.taken.CompareAndSwap(false, true) {
				close(s.reached)
			}
			return nil, errors.New("the database is away")
		}
	}
	return s.Store.Pages(ctx, pages, maxBytes)
}

// The ACK of an own message tells a device its seq, while the messages before it are
// still to be pushed. A receipt for it doesn't count these as delivered if the
// connection ends then. Once they have been pushed, it does.
func TestReceiptForOwnMessageBeforePush(t *testing.T) {
	t.Parallel()
	for _, pushed := range []bool{false, true} {
		g := newGate()
		n := serve(t, func(s *setup) {
			s.store = func(st service.Store) service.Store { return failingPages{st, g} }
		})
		ids := n.users("anna", "berta")
		a := n.login(ids[0])
		const last = proto.MaxOffline + 100
		for range last {
			a.say(with(ids[1]), "x")
		}
		b := n.login(ids[1], obj{"ack": true})
		<-g.reached // the rest isn't pushed
		own := b.say(with(ids[0]), "y")
		if own != last+1 {
			t.Fatalf("own message has seq %d, want %d", own, last+1)
		}
		b.send(with(ids[0]).receipt(own))
		b.barrier()
		if pushed {
			close(g.open)
			b.has(with(ids[0]), 1, last)
		}
		b.close()
		if !pushed {
			close(g.open)
		}
		n.settled(1)
		b = n.login(ids[1], obj{"ack": true})
		if pushed {
			if l := b.welcome.list("offlinemsg"); len(l) != 0 || b.welcome.bool("more") {
				t.Errorf("after the backlog was pushed and a receipt for all of it: %d messages at the next login, want none", len(l))
			}
			continue
		}
		b.has(with(ids[0]), proto.MaxOffline+1, own)
	}
}

// A user with more friends than fit into a LOGIN_ACK can log in all the same: the limits
// may have been higher before.
func TestLoginWithTooManyFriends(t *testing.T) {
	t.Parallel()
	n := serve(t)
	anna := n.user("anna")
	const friends = 2600
	for i := range friends {
		id := n.user(fmt.Sprintf("%s%d", strings.Repeat("😀", 46), i))
		if _, err := n.db.AddFriend(t.Context(), anna, id, friends); err != nil {
			t.Fatal(err)
		}
	}
	if l := n.login(anna).welcome.list("friends"); len(l) < 1000 || len(l) >= friends {
		t.Errorf("LOGIN_ACK lists %d friends of %d, want as many as fit", len(l), friends)
	}
	if c := n.count(`chatd_service_limited_total{limit="login_lists"}`); c != 1 {
		t.Errorf("%v shortened lists counted, want 1", c)
	}
}

// Settings with which a LOGIN_ACK might not fit into a frame are refused, with the
// largest value that is possible. The largest possible values fit.
func TestListSettings(t *testing.T) {
	problem := func(friends, groups int) string {
		c := service.DefaultConfig()
		c.People.MaxFriends, c.Groups.MaxGroups = friends, groups
		var p setting.Problems
		c.CheckSettings(&p)
		if err := p.Err(); err != nil {
			return err.Error()
		}
		return ""
	}
	most := func(text string) (n int) {
		t.Helper()
		if _, err := fmt.Sscanf(text[strings.LastIndexByte(text, ' ')+1:], "%d", &n); err != nil {
			t.Fatalf("problem %q, want one that ends with the largest value", text)
		}
		return n
	}
	if text := problem(1000, 100); text != "" {
		t.Errorf("the defaults: problem %q, want none", text)
	}
	for _, c := range []struct {
		friends, groups int
		flag            string
	}{{5000, 100, "--max-friends: "}, {setting.Unlimited, 1, "--max-friends: "}, {1000, 5000, "--max-groups: "},
		{1, setting.Unlimited, "--max-groups: "}, {setting.Unlimited, setting.Unlimited, "--max-groups: "}} {
		text := problem(c.friends, c.groups)
		if !strings.HasPrefix(text, c.flag) {
			t.Errorf("max-friends %d, max-groups %d: problem %q, want one of %s", c.friends, c.groups, text, c.flag)
			continue
		}
		friends, groups := c.friends, most(text)
		if c.flag == "--max-friends: " {
			friends, groups = groups, c.groups
		} else if friends == setting.Unlimited {
			friends = 1
		}
		if text := problem(friends, groups); text != "" {
			t.Errorf("max-friends %d, max-groups %d, as the error says: problem %q, want none", friends, groups, text)
		}
	}
}

// Every answer with a list fits into a frame, if each field has its largest value.
func TestAnswersFit(t *testing.T) {
	const big = proto.MaxID
	name := strings.Repeat("😀", proto.MaxNameChars)
	members := make([]proto.Member, proto.MaxPageUsers)
	for i := range members {
		members[i] = proto.Member{ID: big, Name: name, State: proto.Offline, Role: proto.Creator}
	}
	conversations := make([]proto.Conversation, 1000) // model.maxTie; those that don't fit have no message
	for i := range conversations {
		conversations[i] = proto.Conversation{GroupID: big, Name: name, First: big, Last: big, Read: big, Time: big}
	}
	message := proto.Chat{Op: proto.GROUP_CHAT, ID: big, GroupID: big, Name: name, Msg: strings.Repeat("\x01", proto.MaxMsg),
		CID: strings.Repeat("\x01", proto.MaxCID), Seq: big, Time: big}
	if size := len(proto.AppendChat(nil, &message)); size > proto.MaxSyncBytes {
		t.Errorf("the largest message has %d bytes, want at most %d", size, proto.MaxSyncBytes)
	}
	for _, r := range []proto.Response{
		{Op: proto.GROUP_USERS_ACK, GroupID: big, Users: members, More: true},
		{Op: proto.ADD_GROUP_ACK, GroupID: big, GroupName: name, GroupDesc: strings.Repeat("\x01", proto.MaxDescChars), Seq: big, Users: members},
		{Op: proto.CONVERSATIONS_ACK, Conversations: conversations, More: true},
		{Op: proto.SYNC_ACK, GroupID: big, First: big, Last: big, Messages: []proto.Chat{message}, More: true},
	} {
		r.RID, r.Fields = -big, 1<<proto.FRID
		if size := len(proto.AppendResponse(nil, &r)); size > proto.MaxResponse {
			t.Errorf("the largest %s has %d bytes, want at most %d", r.Op, size, proto.MaxResponse)
		}
	}
}
