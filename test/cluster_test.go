package test

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"chatd/client"
	"chatd/proto"
)

// TestCluster checks that three nodes work like one server, for clients on any node
// and through nginx.
func TestCluster(t *testing.T) {
	c := newCluster(t)
	t.Run("chat", func(t *testing.T) { clusterChat(t, c) })
	t.Run("devices", func(t *testing.T) { clusterDevices(t, c) })
	t.Run("front", func(t *testing.T) { clusterFront(t, c) })
	t.Run("order", func(t *testing.T) { clusterOrder(t, c) })
	t.Run("retry", func(t *testing.T) { clusterRetry(t, c) })
	t.Run("metrics", func(t *testing.T) { clusterMetrics(t, c) })
}

// clusterMetrics checks that a cluster node has all metrics in docs/operations.md,
// except those of SQLite, which TestRecentMetrics of package model looks for.
func clusterMetrics(t *testing.T, c *cluster) {
	all := "\n" + c.nodes[0].metrics(t)
	for _, name := range documentedMetrics(t) {
		if !strings.HasPrefix(name, "chatd_model_recent_") && !strings.Contains(all, "\n"+name) {
			t.Errorf("/metrics has no %s, which docs/operations.md describes", name)
		}
	}
}

// clusterChat checks friends, messages, groups, events, read receipts and presence
// between users on three nodes. They connect to the nodes directly, because nginx
// might put them on the same one.
func clusterChat(t *testing.T, c *cluster) {
	anna, berta, carl := newPerson(t, c.nodes[0].chat, "anna"), newPerson(t, c.nodes[1].chat, "berta"), newPerson(t, c.nodes[2].chat, "carl")

	// Friends on other nodes are shown as online.
	f, err := anna.AddFriend(t.Context(), berta.id)
	if err != nil || f.State != proto.Online {
		t.Fatalf("anna.AddFriend(berta) = %+v, %v; want state %q", f, err, proto.Online)
	}
	berta.until("anna is a friend", clusterTimeout, func() bool {
		return slices.ContainsFunc(berta.changes, func(ch client.Change) bool { return ch.Kind == client.FriendAdded && ch.User == anna.id })
	})

	// Messages between two users, and a read receipt.
	r := anna.say(client.User(berta.id), "hello")
	berta.receives(client.User(anna.id), "hello")
	berta.say(client.User(anna.id), "yourself")
	anna.receives(client.User(berta.id), "yourself")
	berta.MarkRead(client.User(anna.id), r.Seq)
	anna.until("berta's read receipt", clusterTimeout, func() bool { return anna.reads[client.User(berta.id)] >= r.Seq })

	// A group on three nodes: messages, a typing event, and removing a member.
	id, err := anna.CreateGroup(t.Context(), "tea", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []*person{berta, carl} {
		if _, err := p.JoinGroup(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	group := client.Group(id)
	for i, from := range []*person{anna, berta, carl} {
		text := fmt.Sprint("green or black ", i)
		from.say(group, text)
		for _, p := range []*person{anna, berta, carl} {
			if p != from {
				p.receives(group, text)
			}
		}
	}
	if err := carl.Typing(group); err != nil {
		t.Fatal(err)
	}
	anna.until("carl's typing event", clusterTimeout, func() bool {
		return slices.ContainsFunc(anna.events, func(e client.Event) bool { return e.From == carl.id && e.Conv == group && e.Kind == "typing" })
	})
	if err := anna.KickMember(t.Context(), id, carl.id); err != nil {
		t.Fatal(err)
	}
	carl.until("removal from the group", clusterTimeout, func() bool {
		return slices.ContainsFunc(carl.changes, func(ch client.Change) bool {
			return ch.Kind == client.MemberLeft && ch.Group == id && ch.User == carl.id
		})
	})
	anna.say(group, "without carl")
	berta.receives(group, "without carl")
	carl.mu.Lock()
	if n := len(carl.seen[group]); n != 2 {
		t.Errorf("carl has seen %d messages of the group, want the 2 sent by others before he was removed", n)
	}
	carl.mu.Unlock()

	// Friends on other nodes see a user go offline and come back online.
	if err := berta.Close(); err != nil {
		t.Fatal(err)
	}
	anna.until("berta is offline", clusterTimeout, func() bool { on, known := anna.presence[berta.id]; return known && !on })
	anna.say(client.User(berta.id), "while you were away")
	again := newDevice(t, c.nodes[2].chat, "berta", "phone", nil)
	again.login()
	anna.until("berta is online", clusterTimeout, func() bool { return anna.presence[berta.id] })
	again.receives(client.User(anna.id), "while you were away")
}

// clusterDevices checks that a user's devices on different nodes get the same
// messages, including those that another device sent, and each other's read receipts.
// A login of the same device on another node must replace the session.
func clusterDevices(t *testing.T, c *cluster) {
	dora, emil := newPerson(t, c.nodes[0].chat, "dora"), newPerson(t, c.nodes[1].chat, "emil")
	tablet := newDevice(t, c.nodes[2].chat, "dora", "tablet", nil)
	tablet.login()
	conv := client.User(dora.id)
	emil.say(conv, "to both")
	dora.receives(client.User(emil.id), "to both")
	tablet.receives(client.User(emil.id), "to both")
	r := dora.say(client.User(emil.id), "from the phone")
	emil.receives(conv, "from the phone")
	tablet.receives(client.User(emil.id), "from the phone")
	dora.MarkRead(client.User(emil.id), r.Seq)
	tablet.until("the phone's read receipt", clusterTimeout, func() bool { return tablet.reads[client.User(emil.id)] >= r.Seq })

	old := dialRaw(t, c.nodes[0].chat)
	old.account("frieda")
	dialRaw(t, c.nodes[1].chat).login("frieda")
	old.drainAll()
	if old.kick == nil || old.kick.Reason != proto.Replaced {
		t.Errorf("the session on the other node ended with KICK %+v, want reason %q", old.kick, proto.Replaced)
	}
}

// clusterFront checks nginx: chat over TCP, TLS and WebSocket, and that only the web
// client is reachable of a node's HTTP address.
func clusterFront(t *testing.T, c *cluster) {
	gerd := newPerson(t, c.chat, "gerd")
	hanna := newDevice(t, c.chatTLS, "hanna", "phone", &tls.Config{RootCAs: c.roots})
	if _, err := hanna.Register(t.Context(), "hanna", personPassword); err != nil {
		t.Fatal(err)
	}
	hanna.login()
	gerd.say(client.User(hanna.id), "over TLS")
	hanna.receives(client.User(gerd.id), "over TLS")
	w := dialRaw(t, c.chat)
	w.account("ida")
	w.call(&proto.Request{Op: proto.ONE_CHAT, ToID: gerd.id, Msg: []byte("by the wire"), CID: []byte("a cid")})
	gerd.until("ida's message", clusterTimeout, func() bool {
		for _, list := range gerd.seen {
			if list[0].Text == "by the wire" {
				return true
			}
		}
		return false
	})

	// nginx must use all three nodes.
	nodes := make(map[string]bool)
	for i := range 12 {
		w := dialRaw(t, c.chat)
		w.call(&proto.Request{Op: proto.REG, Name: fmt.Sprint("guest ", i), Password: "secret 1"})
		if err := w.send(&proto.Request{Op: proto.LOGIN, Name: fmt.Sprint("guest ", i), Password: "secret 1"}); err != nil {
			t.Fatal(err)
		}
		b, err := proto.ReadFrame(w.br, nil)
		var ack struct{ Node string }
		if err != nil || json.Unmarshal(b, &ack) != nil {
			t.Fatalf("answer to LOGIN: %q, error %v; want a LOGIN_ACK", b, err)
		}
		nodes[ack.Node] = true
	}
	if len(nodes) != len(c.nodes) {
		t.Errorf("12 logins through nginx reached the nodes %v, want all %d", nodes, len(c.nodes))
	}

	browser := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: c.roots}}}
	defer browser.CloseIdleConnections()
	for path, want := range map[string]int{"/": 200, "/app/main.js": 200, "/sdk/chatd.js": 200, "/style/base.css": 200, "/icon.svg": 200, "/config.json": 200, "/ops": 404, "/metrics": 404, "/debug/pprof/": 404, "/debug/pprof/a.js": 404,
		"/healthz": 404, "/readyz": 404, "/../metrics": 400, "//metrics": 404, "/%6detrics": 404, "/a/..%2fmetrics": 404} {
		resp, err := browser.Get("https://" + c.web + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != want {
			t.Errorf("GET %s: status %d, %v; want %d", path, resp.StatusCode, err, want)
		}
		if policy := resp.Header.Values("Content-Security-Policy"); want == 200 && (len(policy) != 1 || !strings.HasPrefix(policy[0], "default-src 'none'; script-src 'self'; ") ||
			!strings.Contains(policy[0], "connect-src 'self' wss://"+c.web+"; ") || !strings.Contains(policy[0], "require-trusted-types-for 'script'")) {
			t.Errorf("GET %s: Content-Security-Policy is %q, want one policy that allows wss://%s", path, policy, c.web)
		}
		if path == "/config.json" && string(body) != `{"ws":"wss://`+c.web+`/ws"}`+"\n" {
			t.Errorf("GET /config.json: got %s, want the WebSocket address wss://%s/ws", body, c.web)
		}
		if strings.Contains(string(body), "chatd_") {
			t.Errorf("GET %s returns metrics", path)
		}
	}
	for origin, want := range map[string]string{"https://" + c.web: "101", "https://elsewhere.example": "403"} {
		if got := clusterWebSocket(t, c, origin); got != want {
			t.Errorf("WebSocket handshake with origin %s: got status %s, want %s", origin, got, want)
		}
	}
}

// clusterWebSocket opens a WebSocket through nginx with an Origin header, and
// returns the status of the handshake. If it succeeded, it also checks that a PING is
// answered.
func clusterWebSocket(t *testing.T, c *cluster, origin string) string {
	t.Helper()
	conn, err := tls.Dial("tcp", c.web, &tls.Config{RootCAs: c.roots, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: %s\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", c.web, origin)
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return resp.Status[:3]
	}
	ping := proto.AppendRequest(nil, &proto.Request{Op: proto.PING})
	frame := append([]byte{0x81, 0x80 | byte(len(ping)), 0, 0, 0, 0}, ping...) // one text frame, masked by zeros
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	var head [2]byte
	if _, err := io.ReadFull(br, head[:]); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16([]byte{0, head[1]}))
	if _, err := io.ReadFull(br, body); err != nil {
		t.Fatal(err)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil || a.Op != proto.PONG {
		t.Errorf("answer to PING over WebSocket: %q, %v; want PONG", body, err)
	}
	return "101"
}

// clusterOrder checks the order guarantee in a cluster: 20,000 messages sent to a
// group through three nodes at once get the seqs 1 to 20,000, and members on all nodes
// see them in that order.
func clusterOrder(t *testing.T, c *cluster) {
	const total, flight = 20_000, 128
	var senders, listeners []*person
	for i, n := range c.nodes {
		senders = append(senders, newPerson(t, n.chat, fmt.Sprint("sender ", i)))
		listeners = append(listeners, newPerson(t, n.chat, fmt.Sprint("listener ", i)))
	}
	id, err := senders[0].CreateGroup(t.Context(), "crowd", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(slices.Clone(listeners), senders[1:]...) {
		if _, err := p.JoinGroup(t.Context(), id); err != nil {
			t.Fatal(err)
		}
	}
	group := client.Group(id)
	texts := make([]string, total+1) // by seq
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i, p := range senders {
		wg.Go(func() {
			free, acked := make(chan struct{}, flight), sync.WaitGroup{}
			for n := i; n < total; n += len(senders) {
				text := fmt.Sprint("message ", n)
				free <- struct{}{}
				acked.Add(1)
				err := p.SendAsync(group, text, func(r client.Receipt, err error) {
					defer acked.Done()
					<-free
					mu.Lock()
					defer mu.Unlock()
					switch {
					case err != nil:
						t.Errorf("send %q: %v", text, err)
					case r.Seq < 1 || r.Seq > total:
						t.Errorf("%q got seq %d, want 1 to %d", text, r.Seq, total)
					case texts[r.Seq] != "":
						t.Errorf("both %q and %q got seq %d", texts[r.Seq], text, r.Seq)
					default:
						texts[r.Seq] = text
					}
				})
				if err != nil {
					t.Errorf("send %q: %v", text, err)
					acked.Done()
					return
				}
			}
			acked.Wait()
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	for _, p := range listeners {
		p.until("20,000 messages", 2*clusterTimeout, func() bool { return len(p.seen[group]) >= total })
		p.mu.Lock()
		for i, m := range p.seen[group] {
			if m.Seq != int64(i+1) || m.Text != texts[i+1] {
				t.Errorf("%s: message %d is %q with seq %d, want %q with seq %d", p.name, i+1, m.Text, m.Seq, texts[i+1], i+1)
				break
			}
		}
		p.mu.Unlock()
	}
}

// clusterRetry checks that a message resent to another node is answered with the
// same seq and time, and isn't stored again.
func clusterRetry(t *testing.T, c *cluster) {
	w := dialRaw(t, c.nodes[0].chat)
	w.account("jana")
	group := w.call(&proto.Request{Op: proto.CREATE_GROUP, GroupName: "repeats"}).GroupID
	first := w.call(groupChat(group, "once", false))
	for _, n := range c.nodes[1:] {
		other := dialRaw(t, n.chat)
		other.login("jana")
		if again := other.call(groupChat(group, "once", true)); again.Seq != first.Seq || again.Time != first.Time {
			t.Errorf("resend to %s: got seq %d, time %d; want %d, %d as in the first answer", n.name, again.Seq, again.Time, first.Seq, first.Time)
		}
		if got := other.log(group); len(got) != 1 {
			t.Errorf("%s has the messages %v, want one", n.name, got)
		}
	}
}
