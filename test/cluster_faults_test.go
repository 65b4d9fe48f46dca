package test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"chatd/client"
	"chatd/proto"
)

// Whatever of a cluster dies, freezes or is restarted, while people talk: no
// acknowledged message is lost, shown twice or out of order, nobody is locked
// out, and what still runs goes on.
func TestClusterFaults(t *testing.T) {
	c := newCluster(t)
	for _, f := range []struct {
		name string
		// where the people are: nginx's choice, or each on a node of ours.
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
			tr.heard()
			f.do(t, c, tr)
			tr.heard()
			tr.finish()
		})
	}
	t.Run("killed before it published", func(t *testing.T) { killedBeforePublish(t, c) })
	t.Run("users of a killed node", func(t *testing.T) { usersOfKilledNode(t, c) })
}

// Whoever was on a node that is killed goes on through nginx, on another one.
func nodesKilled(t *testing.T, c *cluster, tr *traffic) {
	for _, n := range c.nodes {
		n.kill(t)
		tr.heard()
		n.start(t)
		tr.heard()
	}
}

// Without Redis, chat between nodes goes on, from the log; after its return as
// before. The pause is what the fault is about: longer than every time-out
// that has to do with Redis.
func redisKilled(t *testing.T, c *cluster, tr *traffic) {
	c.redis.Kill(t)
	gone := time.Now()
	tr.heard()
	time.Sleep(time.Until(gone.Add(10 * time.Second)))
	tr.heard()
	c.redis.Start(t)
	c.reconnected(t)
}

// reconnected waits until all nodes have found their way back to Redis: what
// is heard then comes by it again.
func (c *cluster) reconnected(t *testing.T) {
	t.Helper()
	eventually(t, "every node is back at Redis", func() error {
		for _, n := range c.nodes {
			if up := n.metric(t, "chatd_bus_up"); up != "1" {
				return fmt.Errorf("%s: chatd_bus_up is %q", n.name, up)
			}
		}
		return nil
	})
}

// A Redis that takes everything and answers nothing is no better than none:
// nobody waits for it for long.
func redisFrozen(t *testing.T, c *cluster, tr *traffic) {
	c.redis.Stop(t)
	stopped := time.Now()
	tr.heard()
	time.Sleep(time.Until(stopped.Add(5 * time.Second)))
	c.redis.Cont(t)
	c.reconnected(t)
}

// A node whose subscriptions Redis has dropped, as it does with one that is
// slow, notices and catches up.
func subscriberCutOff(t *testing.T, c *cluster, tr *traffic) {
	for range 3 {
		eventually(t, "Redis has subscribers", func() error {
			if c.redis.Client(t, "CLIENT", "KILL", "TYPE", "pubsub") == "0" {
				return errors.New("it has none")
			}
			return nil
		})
		tr.heard()
	}
	c.reconnected(t)
}

// A node that freezes in the middle of a transaction holds up what it has
// touched for some seconds, until the database gives up on it; the others go
// on with all else at once, and with that then. When it wakes up, its people
// have lost nothing either.
func nodeFrozen(t *testing.T, c *cluster, tr *traffic) {
	n := c.nodes[0]
	for try := 0; ; try++ {
		n.signal(t, syscall.SIGSTOP)
		// The server may still be at the last statement that the node had sent.
		open := func() bool {
			// InnoDB shows what it showed before to whoever asks again within 100 ms.
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
			// Frozen between two transactions it must not hold up the others either.
			n.signal(t, syscall.SIGSTOP)
			t.Log("the node was never in the middle of a transaction: this run shows less")
			break
		}
	}
	frozen := time.Now()
	// People of the other nodes: 1, 2, 4 and 5. What is theirs alone isn't touched.
	tr.heard(1, 2, 4, 5)
	time.Sleep(time.Until(frozen.Add(15 * time.Second)))
	tr.heard(1, 2, 4, 5)
	n.signal(t, syscall.SIGCONT)
}

// A database that dies and comes back needs no restart of anything.
func mariaDBRestarted(t *testing.T, c *cluster, tr *traffic) {
	for range 2 {
		c.db.Kill(t)
		c.db.Start(t)
		tr.heard()
	}
}

// A reload of nginx drops nobody.
func nginxReloaded(t *testing.T, c *cluster, tr *traffic) {
	before := tr.reconnects()
	c.nginx.Reload(t, c.conf)
	tr.heard()
	if n := tr.reconnects() - before; n != 0 {
		t.Errorf("%d clients had to reconnect", n)
	}
}

// Each node is drained and started again, as deploy/rolling-restart.sh does.
func rollingRestart(t *testing.T, c *cluster, tr *traffic) {
	for _, n := range c.nodes {
		n.drain(t)
		n.start(t)
		tr.heard()
	}
}

// valve is a TCP proxy before Redis, of which a node can be cut off in a way
// that it doesn't notice: what it sends vanishes.
type valve struct {
	l      net.Listener
	to     string
	closed atomic.Bool
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
		v.wg.Go(func() {
			defer out.Close()
			b := make([]byte, 32<<10)
			for {
				n, err := in.Read(b)
				if err == nil && !v.closed.Load() {
					_, err = out.Write(b[:n])
				}
				if err != nil {
					return
				}
			}
		})
		v.wg.Go(func() {
			defer in.Close()
			_, _ = io.Copy(in, out) // the end of either is the end of both
		})
	}
}

// The last message of a conversation is committed and acknowledged by a node
// that can't publish it any more, and dies: a member who is logged in on
// another node, and does nothing at all, gets it all the same.
func killedBeforePublish(t *testing.T, c *cluster) {
	v := newValve(t, strings.TrimPrefix(c.redis.URL, "redis://"))
	n := c.addNode(t, "node4", "redis://"+v.l.Addr().String())
	n.start(t)
	speaker, listener := newPerson(t, n.chat, "speaker"), newPerson(t, c.nodes[1].chat, "listener")
	speaker.say(client.User(listener.id), "first")
	listener.hears(client.User(speaker.id), "first")
	v.closed.Store(true)
	speaker.say(client.User(listener.id), "last words")
	n.kill(t)
	listener.hears(client.User(speaker.id), "last words")
	if r := listener.Stats().Reconnects; r != 0 {
		t.Errorf("the listener has logged in again, %d times", r)
	}
}

// Users of a node that is killed can log in elsewhere at once; those who don't
// are seen as offline by their friends, after some 17 s at most where the
// machine has nothing else to do.
func usersOfKilledNode(t *testing.T, c *cluster) {
	n := c.addNode(t, "node5", c.redis.URL)
	n.start(t)
	friend := newPerson(t, c.nodes[1].chat, "friend")
	gone, back := dialRaw(t, n.chat), dialRaw(t, n.chat)
	ids := []int64{gone.account("gone"), back.account("back")}
	for _, id := range ids {
		if f, err := friend.AddFriend(t.Context(), id); err != nil || f.State != proto.Online {
			t.Fatalf("user %d: %+v, %v", id, f, err)
		}
	}
	n.kill(t)
	killed := time.Now()
	dialRaw(t, c.nodes[2].chat).login("back") // fails the test when it is refused
	friend.until("who is gone is offline", clusterPatience, func() bool { on, told := friend.presence[ids[0]]; return told && !on })
	t.Logf("offline after %s", time.Since(killed).Round(time.Second/10))
	f, err := friend.FindUser(t.Context(), fmt.Sprint(ids[1]))
	if err != nil || f.State != proto.Online {
		t.Errorf("who came back is %+v, %v", f, err)
	}
}
