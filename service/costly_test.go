package service_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"chatd/proto"
	"chatd/reactor"
	"chatd/service"
	"chatd/service/session"
)

// BenchmarkCostlyRequests measures what one user who requests as much as the default
// limits allow does to the latencies of another user. The noisy user has 8
// connections with one request at a time, and waits as long as the server asks.
func BenchmarkCostlyRequests(b *testing.B) {
	type requests = func(i int) obj
	same := func(r obj) requests { return func(int) obj { return r } }
	group := func(n *node, first int64) int64 {
		members := []int64{first}
		for i := range 300 {
			members = append(members, n.user(fmt.Sprint("member ", i)))
		}
		g := n.group(members...)
		for _, id := range members[1:] {
			go discard(n.login(id, obj{"brief": true}))
		}
		return g
	}
	for _, c := range []struct {
		name    string
		prepare func(n *node, noisy int64) requests
	}{
		{"sync", func(n *node, noisy int64) requests {
			store(n, 200, noisy, func(int) int64 { return noisy }, strings.Repeat("x", 1200))
			return same(with(noisy).sync(obj{"limit": proto.MaxSyncMessages}))
		}},
		{"conversations", func(n *node, noisy int64) requests {
			peers := make([]int64, 20_000)
			for i := range peers {
				peers[i] = n.user(fmt.Sprint("peer ", i))
			}
			store(n, len(peers), noisy, func(i int) int64 { return peers[i] }, "x")
			return same(obj{"msgid": proto.CONVERSATIONS, "limit": proto.MaxConversations})
		}},
		{"event", func(n *node, noisy int64) requests {
			return same(in(group(n, noisy)).event("noise").with(obj{"data": strings.Repeat("x", 1000)}))
		}},
		{"short-event", func(n *node, noisy int64) requests { return same(in(group(n, noisy)).event("x")) }},
		{"message", func(n *node, noisy int64) requests {
			g := group(n, noisy)
			return func(int) obj { return in(g).chat("hello") }
		}},
		{"long-message", func(n *node, noisy int64) requests {
			g, text := group(n, noisy), strings.Repeat("x", 30<<10)
			return func(int) obj { return in(g).chat(text) }
		}},
		{"join-and-leave", func(n *node, noisy int64) requests {
			g := group(n, n.user("creator"))
			return func(i int) obj {
				return obj{"msgid": []proto.Op{proto.ADD_GROUP, proto.LEAVE_GROUP}[i%2], "groupid": g}
			}
		}},
		{"create-group", func(n *node, noisy int64) requests {
			return same(obj{"msgid": proto.CREATE_GROUP, "groupname": "group", "groupdesc": ""})
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			n := serve(b, func(s *setup) {
				rc := reactor.DefaultConfig()
				rc.Addr = s.reactor.Addr
				rc.ConnsPerAddr, rc.ConnectsPerSecPerAddr = 0, 0
				rc.FramesPerSecPerConn = 0 // of the quiet user; the limits per user hold
				s.reactor, s.service.Limits = rc, service.DefaultConfig().Limits
				s.service.Limits.LoginsPerSecPerAddr, s.service.Limits.PasswordsPerSecPerAddr = 0, 0
			})
			ids := n.users("noisy", "quiet")
			request := c.prepare(n, ids[0])
			quiet := n.login(ids[1])
			quiet.say(with(ids[1]), "a note")
			const turn = 4 * time.Second
			alone := latencies(quiet, ids[1], turn)
			stop := make(chan struct{})
			var running sync.WaitGroup
			for i := range 8 {
				w := n.login(ids[0], obj{"device": fmt.Sprint("device ", i)})
				running.Go(func() { flood(w, request, stop) })
			}
			time.Sleep(12 * time.Second) // the burst ends
			beside := latencies(quiet, ids[1], turn)
			close(stop)
			running.Wait()
			for i, what := range []string{"ping", "sync"} {
				for _, q := range []int{50, 99} {
					b.ReportMetric(float64(alone[i][len(alone[i])*q/100].Microseconds()), fmt.Sprintf("%s-alone-p%d-µs", what, q))
					b.ReportMetric(float64(beside[i][len(beside[i])*q/100].Microseconds()), fmt.Sprintf("%s-beside-p%d-µs", what, q))
				}
			}
			b.ReportMetric(n.count("chatd_service_limited_total{limit=\"user_answers\"}"), "refused")
		})
	}
}

// store stores messages from a user to peers.
func store(n *node, count int, from int64, to func(i int) int64, text string) {
	n.tb.Helper()
	var storing sync.WaitGroup
	for k := range 64 {
		storing.Go(func() {
			for i := k; i < count; i += 64 {
				_, _, err := n.svc.Messages().Send(reactor.OffLoop(n.tb.Context()), session.Actor{User: from, Name: "noisy"}, 0, to(i), fmt.Append(nil, "cid ", i), []byte(text))
				if err != nil {
					n.tb.Error(err)
					return
				}
			}
		})
	}
	storing.Wait()
}

func discard(w *wire) {
	for {
		if _, err := w.body(); err != nil {
			return
		}
	}
}

// flood sends one request at a time until stop is closed or the connection ends. It
// sends events and messages ten at a time, and doesn't wait for the answers of events.
func flood(w *wire, request func(i int) obj, stop chan struct{}) {
	var wait time.Duration
	for i := 0; ; {
		r := request(i)
		frames, rid := []byte(nil), 10
		switch r["msgid"] {
		case proto.EVENT, proto.GROUP_CHAT:
			for range 10 {
				frames = proto.AppendFrame(frames, request(i).with(obj{"rid": 1}).json())
				i++
			}
			frames = proto.AppendFrame(frames, obj{"msgid": proto.PING, "rid": rid}.json())
		default:
			frames = proto.AppendFrame(frames, r.with(obj{"rid": rid}).json())
			i++
		}
		select {
		case <-stop:
			return
		default:
		}
		if _, err := w.conn.Write(frames); err != nil {
			return
		}
		for wait = 0; ; {
			got, err := w.body()
			if err != nil {
				return
			}
			var a struct {
				RID   int         `json:"rid"`
				Errno proto.Errno `json:"errno"`
				Wait  int64       `json:"retry_after_ms"`
			}
			if json.Unmarshal(got, &a) != nil {
				continue
			}
			wait = max(wait, time.Duration(a.Wait)*time.Millisecond)
			if a.RID == rid {
				break
			}
		}
		select {
		case <-time.After(wait):
		case <-stop:
		}
	}
}

// latencies returns how long PING and SYNC of a short history take, sorted, while
// they are sent for some time.
func latencies(w *wire, user int64, turn time.Duration) (all [2][]time.Duration) {
	for end := time.Now().Add(turn); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for i, r := range []obj{{"msgid": proto.PING}, with(user).sync(obj{"limit": 1})} {
			at := time.Now()
			w.ok(r)
			all[i] = append(all[i], time.Since(at))
		}
	}
	for _, l := range all {
		slices.Sort(l)
	}
	return all
}
