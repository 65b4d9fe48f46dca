package test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chatd/client"
	"chatd/proto"
)

// TestClusterFaults checks that whatever part of a cluster dies, freezes or
// restarts while people chat, no acknowledged message is lost, repeated or out of
// order, everyone can log in, and the rest of the cluster keeps working.
func TestClusterFaults(t *testing.T) {
	c := newCluster(t)
	for _, f := range []struct {
		name string
		// Whether people connect directly to nodes in turn; otherwise they connect
		// through nginx.
		spread bool
		do     func(t *testing.T, c *cluster, tr *traffic)
	}{
		{"nodes killed", false, nodesKilled},
		{"Redis killed", true, redisKilled},
		{"Redis frozen", true, redisFrozen},
		{"subscriber cut off", true, subscriberCutOff},
		{"node frozen", true, nodeFrozen},
		{"MariaDB restarted", false, mariaDBRestarted},
		{"nginx reloaded", false, nginxReloaded},
		{"rolling restart", false, rollingRestart},
	} {
		t.Run(f.name, func(t *testing.T) {
			addrs := []string{c.chat}
			if f.spread {
				addrs = nil
				for i := range talkers {
					addrs = append(addrs, c.nodes[i%len(c.nodes)].chat)
				}
			}
			tr := newTraffic(t, strings.ToLower(f.name), addrs...)
			tr.awaitMessages()
			f.do(t, c, tr)
			tr.awaitMessages()
			tr.finish()
		})
	}
	t.Run("node killed before publishing", func(t *testing.T) { killedBeforePublish(t, c) })
	t.Run("users of a killed node", func(t *testing.T) { usersOfKilledNode(t, c) })
	t.Run("users of a frozen node", func(t *testing.T) { usersOfFrozenNode(t, c) })
	t.Run("users who come and go while a node is cut off", func(t *testing.T) { usersWhileCutOff(t, c) })
	t.Run("users who come and go without Redis", func(t *testing.T) { usersWithoutRedis(t, c) })
	t.Run("sessions that end without Redis", func(t *testing.T) { sessionsWithoutRedis(t, c) })
	t.Run("notices while a node is cut off", func(t *testing.T) { noticesWhileCutOff(t, c) })
}

// nodesKilled checks that the clients of a killed node continue on another one,
// through nginx.
func nodesKilled(t *testing.T, c *cluster, tr *traffic) {
	for _, n := range c.nodes {
		n.kill(t)
		tr.awaitMessages()
		n.start(t)
		tr.awaitMessages()
	}
}

// redisKilled checks that messages between nodes arrive without Redis, by way of
// the database. Redis stays down longer than all timeouts that concern it.
func redisKilled(t *testing.T, c *cluster, tr *traffic) {
	c.redis.Kill(t)
	killed := time.Now()
	tr.awaitMessages()
	time.Sleep(time.Until(killed.Add(10 * time.Second)))
	tr.awaitMessages()
	c.redis.Start(t)
	c.reconnected(t)
}

// reconnected waits until all nodes are connected to Redis again.
func (c *cluster) reconnected(t *testing.T) {
	t.Helper()
	eventually(t, "all nodes reconnect to Redis", func() error {
		for _, n := range c.nodes {
			if up := n.metric(t, "chatd_bus_up"); up != "1" {
				return fmt.Errorf("%s: chatd_bus_up = %q, want 1", n.name, up)
			}
		}
		return nil
	})
}

// redisFrozen checks that messages arrive while Redis accepts commands without
// answering them.
func redisFrozen(t *testing.T, c *cluster, tr *traffic) {
	c.redis.Stop(t)
	stopped := time.Now()
	tr.awaitMessages()
	time.Sleep(time.Until(stopped.Add(5 * time.Second)))
	c.redis.Cont(t)
	c.reconnected(t)
}

// subscriberCutOff checks that a node notices and catches up after Redis closes its
// subscriptions, as Redis does with slow subscribers.
func subscriberCutOff(t *testing.T, c *cluster, tr *traffic) {
	for range 3 {
		eventually(t, "Redis closes subscriptions", func() error {
			if c.redis.Client(t, "CLIENT", "KILL", "TYPE", "pubsub") == "0" {
				return errors.New("it has no subscribers")
			}
			return nil
		})
		tr.awaitMessages()
	}
	c.reconnected(t)
}

// nodeFrozen freezes a node in the middle of a transaction. The conversations that
// it was writing to must continue on the other nodes after a few seconds, when the
// database ends the transaction, and all others at once. When the node continues, its
// users must not have lost a message.
func nodeFrozen(t *testing.T, c *cluster, tr *traffic) {
	n := c.nodes[0]
	for try := 0; ; try++ {
		n.signal(t, syscall.SIGSTOP)
		// The database may still be executing the node's last statement.
		open := func() bool {
			// InnoDB caches this view for 100 ms.
			time.Sleep(110 * time.Millisecond)
			return strings.TrimSpace(c.db.SQL(t, `SELECT COUNT(*) FROM information_schema.innodb_trx t
				JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
				WHERE p.user = '`+n.name+`' AND p.command = 'Sleep' AND t.trx_rows_modified > 0`)) != "0"
		}
		if open() {
			break
		}
		n.signal(t, syscall.SIGCONT)
		if try == 150 {
			// Go on with a node that is frozen between two transactions.
			n.signal(t, syscall.SIGSTOP)
			t.Log("the node was never frozen in a transaction: this run tests less")
			break
		}
	}
	frozen := time.Now()
	// People 1, 2, 4 and 5 are on the other nodes.
	tr.awaitMessages(1, 2, 4, 5)
	time.Sleep(time.Until(frozen.Add(15 * time.Second)))
	tr.awaitMessages(1, 2, 4, 5)
	n.signal(t, syscall.SIGCONT)
}

// mariaDBRestarted checks that everything recovers by itself when the database is
// killed and restarted.
func mariaDBRestarted(t *testing.T, c *cluster, tr *traffic) {
	for range 2 {
		c.db.Kill(t)
		c.db.Start(t)
		tr.awaitMessages()
	}
}

// nginxReloaded checks that a reload of nginx disconnects nobody.
func nginxReloaded(t *testing.T, c *cluster, tr *traffic) {
	before := tr.reconnects()
	c.nginx.Reload(t, c.conf)
	tr.awaitMessages()
	if n := tr.reconnects() - before; n != 0 {
		t.Errorf("after reloading nginx: %d reconnects, want none", n)
	}
}

// rollingRestart drains and restarts each node, as deploy/rolling-restart.sh does.
func rollingRestart(t *testing.T, c *cluster, tr *traffic) {
	for _, n := range c.nodes {
		n.drain(t)
		n.start(t)
		tr.awaitMessages()
	}
}

// valve is a TCP proxy between a node and Redis. While it is closed, it discards
// what the node sends, without the node noticing; while it is deaf, what Redis sends.
type valve struct {
	l      net.Listener
	to     string
	closed atomic.Bool
	deaf   atomic.Bool
	wg     sync.WaitGroup
	mu     sync.Mutex
	conns  []net.Conn
}

func newValve(t *testing.T, to string) *valve {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &valve{l: l, to: to}
	v.wg.Go(v.accept)
	t.Cleanup(func() {
		l.Close()
		v.mu.Lock()
		for _, c := range v.conns {
			c.Close()
		}
		v.mu.Unlock()
		v.wg.Wait()
	})
	return v
}

func (v *valve) accept() {
	for {
		in, err := v.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", v.to)
		if err != nil {
			in.Close()
			continue
		}
		v.mu.Lock()
		v.conns = append(v.conns, in, out)
		v.mu.Unlock()
		v.wg.Go(func() { pass(out, in, &v.closed) })
		v.wg.Go(func() { pass(in, out, &v.deaf) })
	}
}

// pass copies from one connection to another, and discards what comes while drop is
// set.
func pass(to, from net.Conn, drop *atomic.Bool) {
	defer to.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err == nil && !drop.Load() {
			_, err = to.Write(b[:n])
		}
		if err != nil {
			return
		}
	}
}

// shut makes the valve discard everything, or nothing.
func (v *valve) shut(on bool) {
	v.closed.Store(on)
	v.deaf.Store(on)
}

// killedBeforePublish has a node acknowledge a message that it can't publish to
// Redis, and then kills it. An idle client on another node must still get the message,
// although no later one reveals the gap.
func killedBeforePublish(t *testing.T, c *cluster) {
	v := newValve(t, strings.TrimPrefix(c.redis.URL, "redis://"))
	n := c.addNode(t, "node4", "redis://"+v.l.Addr().String())
	n.start(t)
	speaker, listener := newPerson(t, n.chat, "speaker"), newPerson(t, c.nodes[1].chat, "listener")
	speaker.say(client.User(listener.id), "first")
	listener.receives(client.User(speaker.id), "first")
	v.closed.Store(true)
	speaker.say(client.User(listener.id), "last words")
	n.kill(t)
	listener.receives(client.User(speaker.id), "last words")
	if r := listener.Stats().Reconnects; r != 0 {
		t.Errorf("the listener reconnected %d times, want 0", r)
	}
}

// usersOfKilledNode checks that users of a killed node can log in on another node at
// once, and that friends see those who don't as offline: after about 8 s if the
// machine is otherwise idle.
func usersOfKilledNode(t *testing.T, c *cluster) {
	n := c.addNode(t, "node5", c.redis.URL)
	n.start(t)
	friend := newPerson(t, c.nodes[1].chat, "friend")
	gone, back := dialRaw(t, n.chat), dialRaw(t, n.chat)
	ids := []int64{gone.account("gone"), back.account("back")}
	for _, id := range ids {
		if f, err := friend.AddFriend(t.Context(), id); err != nil || f.State != proto.Online {
			t.Fatalf("AddFriend(%d) = %+v, %v; want state %q", id, f, err, proto.Online)
		}
	}
	n.kill(t)
	killed := time.Now()
	dialRaw(t, c.nodes[2].chat).login("back") // fails the test if it is refused
	friend.sees("gone", ids[0], false)
	t.Logf("offline after %s", time.Since(killed).Round(time.Second/10))
	f, err := friend.FindUser(t.Context(), fmt.Sprint(ids[1]))
	if err != nil || f.State != proto.Online {
		t.Errorf("FindUser of the user back = %+v, %v; want state %q", f, err, proto.Online)
	}
}

// sees waits until the last notice about a friend says that they are online, or
// offline.
func (p *person) sees(name string, id int64, online bool) {
	p.t.Helper()
	state := map[bool]string{true: proto.Online, false: proto.Offline}[online]
	p.until("friend "+name+" is "+state, clusterTimeout, func() bool { on, known := p.presence[id]; return known && on == online })
}

// usersOfFrozenNode checks that users of a frozen node appear offline, and online
// again when it continues. The node itself must not take the others for dead.
func usersOfFrozenNode(t *testing.T, c *cluster) {
	n := c.addNode(t, "node6", c.redis.URL)
	n.start(t)
	friend, user := newPerson(t, c.nodes[1].chat, "friend of frozen"), newPerson(t, n.chat, "frozen")
	if f, err := friend.AddFriend(t.Context(), user.id); err != nil || f.State != proto.Online {
		t.Fatalf("AddFriend = %+v, %v; want state %q", f, err, proto.Online)
	}
	n.signal(t, syscall.SIGSTOP)
	friend.sees("frozen", user.id, false)
	n.signal(t, syscall.SIGCONT)
	friend.sees("frozen", user.id, true)
	if f, err := user.FindUser(t.Context(), fmt.Sprint(friend.id)); err != nil || f.State != proto.Online {
		t.Errorf("FindUser on the node that was frozen = %+v, %v; want state %q", f, err, proto.Online)
	}
	user.until("no notice says that the friend went offline", clusterTimeout, func() bool { on, known := user.presence[friend.id]; return !known || on })
}

// usersWithoutRedis checks that users who come, go, or block while Redis is down
// have the right state for friends on another node once it is back.
func usersWithoutRedis(t *testing.T, c *cluster) {
	friend := newPerson(t, c.nodes[1].chat, "friend of many")
	comes, goes := newDevice(t, c.nodes[2].chat, "comes", "phone", nil), newPerson(t, c.nodes[2].chat, "goes")
	stays, blocks := newPerson(t, c.nodes[2].chat, "stays"), newPerson(t, c.nodes[2].chat, "blocks")
	id, err := comes.Register(t.Context(), "comes", personPassword)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []int64{id, goes.id, stays.id, blocks.id} {
		if _, err := friend.AddFriend(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	c.redis.Kill(t)
	if err := goes.Close(); err != nil {
		t.Fatal(err)
	}
	comes.login()
	if err := blocks.Block(t.Context(), friend.id, true); err != nil {
		t.Fatal(err)
	}
	c.redis.Start(t)
	c.reconnected(t)
	friend.sees("comes", id, true)
	friend.sees("goes", goes.id, false)
	friend.sees("blocks", blocks.id, false)
	if f, err := friend.FindUser(t.Context(), "stays"); err != nil || f.State != proto.Online {
		t.Errorf("FindUser of the user who stays = %+v, %v; want state %q", f, err, proto.Online)
	}
}

// usersWhileCutOff checks that users who come and go while one node is silently cut
// off from Redis have the right state for friends on both sides, once it is connected
// again, and that later changes arrive. The node isn't told that the connection is
// lost: nothing gets through any more.
func usersWhileCutOff(t *testing.T, c *cluster) {
	v := newValve(t, strings.TrimPrefix(c.redis.URL, "redis://"))
	n := c.addNode(t, "node7", "redis://"+v.l.Addr().String())
	n.start(t)
	here, there := newPerson(t, n.chat, "friend cut off"), newPerson(t, c.nodes[1].chat, "friend not cut off")
	type side struct {
		friend      *person
		comes, goes *person
		id          int64
	}
	sides := []*side{{friend: here}, {friend: there}}
	for i, addr := range []string{c.nodes[1].chat, n.chat} { // each friend's friends are on the other side
		s := sides[i]
		name := fmt.Sprint("comes to ", i)
		s.comes, s.goes = newDevice(t, addr, name, "phone", nil), newPerson(t, addr, fmt.Sprint("goes from ", i))
		var err error
		if s.id, err = s.comes.Register(t.Context(), name, personPassword); err != nil {
			t.Fatal(err)
		}
		if _, err := s.friend.AddFriend(t.Context(), s.id); err != nil {
			t.Fatal(err)
		}
		f, err := s.friend.AddFriend(t.Context(), s.goes.id)
		if err != nil {
			t.Fatal(err)
		}
		if f.State != proto.Online { // it will be soon
			s.friend.sees("who will go", s.goes.id, true)
		}
	}
	v.shut(true)
	for _, s := range sides {
		s.comes.login()
		if err := s.goes.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "the node notices that it is cut off", func() error {
		if up := n.metric(t, "chatd_bus_up"); up != "0" {
			return fmt.Errorf("chatd_bus_up is %s, want 0", up)
		}
		return nil
	})
	v.shut(false)
	opened := time.Now()
	for _, s := range sides {
		s.friend.sees("who came", s.id, true)
		s.friend.sees("who went", s.goes.id, false)
	}
	t.Logf("right on both sides %s after the end of the outage", time.Since(opened).Round(time.Second/10))
	for _, s := range sides {
		if err := s.comes.Close(); err != nil {
			t.Fatal(err)
		}
		s.friend.sees("who came", s.id, false)
	}
	n.drain(t)
}

// sessionsWithoutRedis checks that sessions on another node end while Redis is down: at
// a password change, and when their device logs in elsewhere by token.
func sessionsWithoutRedis(t *testing.T, c *cluster) {
	changes, moves := dialRaw(t, c.nodes[1].chat), dialRaw(t, c.nodes[1].chat)
	changes.account("changes")
	moves.call(&proto.Request{Op: proto.REG, Name: "moves", Password: "secret 1"})
	token := moves.call(&proto.Request{Op: proto.LOGIN, Name: "moves", Password: "secret 1"}).Token
	other := newDevice(t, c.nodes[2].chat, "changes", "other", nil)
	other.login()
	c.redis.Kill(t)
	defer func() {
		c.redis.Start(t)
		c.reconnected(t)
	}()
	if err := other.ChangePassword(t.Context(), personPassword, "secret 2"); err != nil {
		t.Fatal(err)
	}
	moved := dialRaw(t, c.nodes[2].chat)
	moved.call(&proto.Request{Op: proto.LOGIN, Token: token, Fields: 1 << proto.FToken})
	for _, s := range []struct {
		w      *raw
		reason string
	}{{changes, proto.LoggedOut}, {moves, proto.Replaced}} {
		s.w.drainAll()
		if s.w.kick == nil || s.w.kick.Reason != s.reason {
			t.Errorf("the session on the other node got %+v, want KICK with reason %s", s.w.kick, s.reason)
		}
	}
	moved.call(&proto.Request{Op: proto.CONVERSATIONS}) // still logged in
}

// noticesWhileCutOff checks that whatever is pushed about a change on one node reaches
// clients of a node that is silently cut off from Redis: changes of friends and blocks,
// read receipts, and who joins and leaves groups.
func noticesWhileCutOff(t *testing.T, c *cluster) {
	v := newValve(t, strings.TrimPrefix(c.redis.URL, "redis://"))
	n := c.addNode(t, "node8", "redis://"+v.l.Addr().String())
	n.start(t)
	user, reader := newPerson(t, c.nodes[1].chat, "changes much"), newPerson(t, c.nodes[1].chat, "reads")
	friend := newPerson(t, n.chat, "cut off")
	other := newDevice(t, n.chat, "changes much", "other", nil) // of the first user
	other.login()
	friend.say(client.User(reader.id), "text")
	reader.receives(client.User(friend.id), "text")
	group, err := friend.CreateGroup(t.Context(), "cut off", "")
	if err != nil {
		t.Fatal(err)
	}
	v.shut(true)
	// gets waits for a change on a device. The SDK reports each one once.
	gets := func(p *person, kind client.ChangeKind, what string, do func() error) {
		t.Helper()
		p.note(func() { p.changes = nil })
		began := time.Now()
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		p.until(what, clusterTimeout, func() bool {
			return slices.ContainsFunc(p.changes, func(ch client.Change) bool { return ch.Kind == kind })
		})
		t.Logf("%s: after %s", what, time.Since(began).Round(time.Millisecond))
	}
	gets(friend, client.FriendAdded, "ADD_FRIEND", func() error { _, err := user.AddFriend(t.Context(), friend.id); return err })
	gets(other, client.UserBlocked, "BLOCK on the other device", func() error { return user.Block(t.Context(), friend.id, true) })
	gets(other, client.UserUnblocked, "BLOCK on the other device, off", func() error { return user.Block(t.Context(), friend.id, false) })
	gets(friend, client.FriendRemoved, "DEL_FRIEND", func() error { return user.DelFriend(t.Context(), friend.id) })
	gets(friend, client.MemberJoined, "ADD_GROUP", func() error { _, err := user.JoinGroup(t.Context(), group); return err })
	gets(friend, client.MemberLeft, "LEAVE_GROUP", func() error { return user.LeaveGroup(t.Context(), group) })
	began := time.Now()
	reader.MarkRead(client.User(friend.id), 1)
	friend.until("RECEIPT", clusterTimeout, func() bool { return friend.reads[client.User(reader.id)] == 1 })
	t.Logf("RECEIPT: after %s", time.Since(began).Round(time.Millisecond))
	v.shut(false)
	n.drain(t)
}
