package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatd/bench/benchtest"
	"chatd/bench/report"
	"chatd/bench/target"
)

// beChatbench is an environment variable that makes this test binary run as
// chatbench, for tests that kill it.
const beChatbench = "CHATBENCH_TEST_BE"

func TestMain(m *testing.M) {
	if os.Getenv(beChatbench) != "" {
		main()
	}
	if len(os.Args) > 1 && os.Args[1] == target.RelayCommand {
		main() // the relay is another process of this test binary
	}
	os.Exit(benchtest.RunTests(m))
}

// Each scenario runs against a real server with exit code 0 and the expected
// figures, and leaves nothing behind.
func TestRealServer(t *testing.T) {
	path := benchtest.Chatd(t)
	for _, c := range []struct {
		args      string
		figures   []string
		latencies map[string]int64 // with their counts
	}{
		{"stream --pairs 5 --window 16 --count 2003", []string{"acknowledged", "delivered", "server memory", "generator CPU per million messages"},
			map[string]int64{"ack": 2003, "end to end": 2003}},
		{"stream --pairs 2 --window 1 --count 20 --size 32768 --chatd-arg=--sqlite-sync=normal", []string{"delivered"},
			map[string]int64{"end to end": 20}},
		{"event --pairs 5 --window 16 --count 5001", []string{"delivered", "server CPU"}, map[string]int64{"end to end": 5001}},
		{"ping --pairs 3 --count 100", []string{"delivered", "server CPU"}, map[string]int64{"end to end": 100}},
		{"ping --kind chat --pairs 3 --count 100", []string{"acknowledged", "delivered"}, map[string]int64{"ack": 100, "end to end": 100}},
		{"stream --pairs 5 --count 503 --rate 2000", []string{"acknowledged", "delivered"},
			map[string]int64{"ack": 503, "end to end": 503, "behind schedule": 503}},
		{"event --pairs 5 --count 503 --rate 2000", []string{"delivered"}, map[string]int64{"end to end": 503, "behind schedule": 503}},
		{"fanout --members 20 --window 16 --count 1001", []string{"acknowledged", "delivered", "server CPU per million messages"},
			map[string]int64{"ack": 1001, "end to end": 19 * 1001}},
		{"fanout --members 20 --senders 3 --count 1001", []string{"delivered"}, map[string]int64{"ack": 1001, "end to end": 19 * 1001}},
		{"fanout --members 20 --senders 3 --count 1001 --kind event", []string{"delivered"}, map[string]int64{"end to end": 19 * 1001}},
		{"mix --users 60 --typing 2000 --chats 2000 --groups 500 --leave 500 --away 50ms --duration 1s --warmup 0s",
			[]string{"logins", "acknowledged", "typing", "group deliveries", "one-to-one deliveries"}, nil},
		{"connect --conns 50 --duration 1ms", []string{"coming up", "server memory per connection", "server live heap per connection", "server CPU"},
			map[string]int64{"connect and log in": 50}},
		// One login for each of those at a time.
		{"login --users 20 --at-a-time 4 --duration 1ns", []string{"logins", "server CPU per login", "server CPU", "generator share"},
			map[string]int64{"connect and log in": 4, "log in": 4}},
		{"login --users 20 --at-a-time 4 --history 45 --duration 1ns", []string{"logins", "server CPU per login"},
			map[string]int64{"connect and log in": 4, "log in": 4}},
		{"login --by password --users 3 --at-a-time 3 --duration 1ns", []string{"logins"}, map[string]int64{"connect and log in": 3, "log in": 3}},
		{"storm --conns 50 --at-a-time 8 --chatting 3 --rate 300 --duration 50ms", []string{"all back", "coming back", "server CPU"},
			map[string]int64{"connect and log in": 50}},
		// More than a LOGIN_ACK has, so that pushes follow.
		{"offline --users 5 --messages 250 --senders 3 --at-a-time 4", []string{"stored", "server CPU per million stored", "logged in and complete", "read", "server CPU per million messages"},
			map[string]int64{"connect and log in": 5, "log in to complete": 5}},
		{"offline --users 3 --messages 2 --senders 5", []string{"read"}, map[string]int64{"log in to complete": 3}},
	} {
		t.Run(c.args, func(t *testing.T) {
			folder := t.TempDir()
			args := append(strings.Fields(c.args), "--chatd", path, "--dir", folder, "--json", "-")
			code, stdout, stderr := chatbench(t, args...)
			var rep report.Report
			if err := json.Unmarshal([]byte(stdout), &rep); err != nil || code != exitOK {
				t.Fatalf("exit code %d, JSON error %v, want %d; output:\n%s%s", code, err, exitOK, stdout, stderr)
			}
			for _, name := range c.figures {
				found := false
				for _, f := range rep.Figures {
					grown := strings.HasSuffix(name, "per connection") // the server may have given back memory
					found = found || f.Name == name && (f.Value >= 0 || grown) && f.Unit != ""
				}
				if !found {
					t.Errorf("figure %q is missing in %s", name, stdout)
				}
			}
			for _, l := range rep.Latencies {
				if want, ok := c.latencies[l.Name]; ok && (l.Count != want || l.P50 < 1 || l.P50 > l.P99 || l.P99 > l.Max) {
					t.Errorf("latency %+v, want %d values and rising percentiles", l, want)
				}
				delete(c.latencies, l.Name)
			}
			if len(c.latencies) > 0 {
				t.Errorf("latencies missing: %v", c.latencies)
			}
			benchtest.CheckGone(t, folder, rep.Server.Address)
		})
	}
}

// watcher cancels a context when a word appears on the terminal.
type watcher struct {
	word   string
	cancel context.CancelFunc
}

func (w watcher) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.word) {
		w.cancel()
	}
	return len(p), nil
}

// Ctrl-C at any stage ends the run cleanly: messages in flight arrive, the
// server drains, and nothing is left behind.
func TestInterrupted(t *testing.T) {
	path := benchtest.Chatd(t)
	for _, c := range []struct{ args, word string }{
		{"stream --pairs 4 --duration 10m", "users:"},
		{"stream --pairs 4 --duration 10m --warmup 0s", "measured:"},
		{"event --pairs 4 --duration 10m --warmup 10m", "warm-up:"},
		{"stream --pairs 4 --duration 10m --warmup 0s --rate 1", "measured:"},
		{"fanout --members 10 --duration 10m", "users:"},
		{"mix --users 40 --leave 500 --duration 10m", "connections:"},
		{"mix --users 40 --leave 500 --chats 500 --duration 10m --warmup 0s", "measured:"},
		{"fanout --members 10 --duration 10m --warmup 0s", "measured:"},
		{"connect --conns 20 --duration 10m", "connections:"},
		{"connect --conns 20 --duration 10m", "settle"},
		{"login --users 20 --at-a-time 4 --duration 10m", "measured:"},
		{"login --users 20 --at-a-time 4 --history 10000000", "messages:"},
		{"storm --conns 20 --duration 10m", "before:"},
		{"offline --users 5 --messages 1000000", "messages:"},
		{"event --spawn cluster", "starting MariaDB"},
		{"event --spawn cluster", "starting node 2"},
		{"stream --spawn cluster --pairs 4 --duration 10m --warmup 0s", "measured:"},
	} {
		t.Run(c.args+" "+c.word, func(t *testing.T) {
			if strings.Contains(c.args, "--spawn") {
				needServices(t)
			}
			folder := t.TempDir()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			var stdout, stderr bytes.Buffer
			code := run(ctx, append(strings.Fields(c.args), "--chatd", path, "--dir", folder), &stdout, &stderr, watcher{c.word, cancel})
			if code != exitInterrupted || !strings.Contains(stdout.String(), "interrupted; faults: 0") {
				t.Errorf("exit code %d, want %d and no faults; output:\n%s%s", code, exitInterrupted, &stdout, &stderr)
			}
			benchtest.CheckGone(t, folder, "127.0.0.1:1")
		})
	}
}

// If the server can't be started, the error says why.
func TestServerStartFails(t *testing.T) {
	path := benchtest.Chatd(t)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--chatd", filepath.Join(benchtest.Binaries, "nothing")}, "with --chatd"},
		{[]string{"--chatd", path, "--chatd-arg=--nonsense"}, "nonsense"},
	} {
		folder := t.TempDir()
		code, _, stderr := chatbench(t, append([]string{"stream", "--dir", folder}, c.args...)...)
		if code != exitFailure || !strings.Contains(stderr, c.want) {
			t.Errorf("%q: exit code %d, error %q; want %d and %q", c.args, code, stderr, exitFailure, c.want)
		}
		benchtest.CheckGone(t, folder, "127.0.0.1:1")
	}
}

// A running server (--addr) isn't restarted, and still runs afterwards.
func TestRunningServer(t *testing.T) {
	path := benchtest.Chatd(t)
	srv, err := target.Start(context.Background(), &target.Flags{Spawn: target.SpawnSQLite, Chatd: path, Dir: t.TempDir()}, report.NewProgress(io.Discard), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	}()
	for range 2 { // every run has new users
		code, stdout, stderr := chatbench(t, "stream", "--addr", srv.AddrOf(0), "--pairs", "2", "--count", "100")
		if code != exitOK || !strings.Contains(stdout, "--pid") {
			t.Errorf("exit code %d, want %d and a note about --pid; output:\n%s%s", code, exitOK, stdout, stderr)
		}
	}
	code, stdout, stderr := chatbench(t, "connect", "--addr", srv.AddrOf(0), "--conns", "10", "--duration", "1ms")
	if code != exitOK || strings.Contains(stdout, "memory per") {
		t.Errorf("exit code %d, want %d and no figures about memory; output:\n%s%s", code, exitOK, stdout, stderr)
	}
	c, err := net.Dial("tcp", srv.AddrOf(0))
	if err != nil {
		t.Fatalf("the running server has ended: %v", err)
	}
	_ = c.Close()
}
