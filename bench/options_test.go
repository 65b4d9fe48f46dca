package main

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"chatd/bench/crash"
)

// The error about a wrong flag names it, and nothing starts. Only loopback
// addresses are accepted.
func TestBadArguments(t *testing.T) {
	for _, c := range []struct {
		args, want string
	}{
		{"", "expected one of"},
		{"flood", "flood"},
		{"stream extra", "extra"},
		{"stream --pairs 0", "--pairs"},
		{"stream --pairs 5000", "--pairs"},
		{"stream --window 0", "--window"},
		{"stream --window 5000", "--window"},
		{"stream --size 31", "--size"},
		{"stream --size 32769", "--size"},
		{"stream --duration 0s", "--duration"},
		{"stream --duration 10", "--duration"},
		{"stream --duration 601s", "--duration"},
		{"stream --warmup -1s", "--warmup"},
		{"stream --patience 0s", "--patience"},
		{"stream --count -1", "--count"},
		{"stream --count 49", "--count"},
		{"event --size 1025", "--size"},
		{"event --window 4096", "--window"},
		{"stream --rate -1", "--rate"},
		{"stream --rate 1", "--rate"},
		{"stream --rate NaN", "--rate"},
		{"ping --rate 100", "--rate"},
		{"fanout --members 1", "--members"},
		{"fanout --members 10001", "--members"},
		{"fanout --senders 0", "--senders"},
		{"fanout --senders 201", "--senders"},
		{"floor fanout --senders 2", "--senders"},
		{"fanout --kind tea", "--kind"},
		{"fanout --kind event --size 1025", "--size"},
		{"fanout --rate 0.01", "--rate"},
		{"ping --window 2", "--window"},
		{"ping --kind tea", "--kind"},
		{"ping --size 1025", "--size"},
		{"ping --kind chat --size 32769", "--size"},
		{"floor", "expected one of"},
		{"floor connect", "connect"},
		{"floor stream --window 4096", "--window"},
		{"floor stream --size 32769", "--size"},
		{"floor event --loops 65", "--loops"},
		{"floor event --addr 127.0.0.1:6000", "--addr"},
		{"floor event --dir /tmp", "--dir"},
		{"mix --users 21", "--users"},
		{"mix --users 1000002", "--users"},
		{"mix --members 3", "--members"},
		{"mix --typing -1", "--typing"},
		{"mix --leave NaN", "--leave"},
		{"mix --away 2m", "--away"},
		{"mix --size 31", "--size"},
		{"connect --conns 0", "--conns"},
		{"connect --conns 1000001", "--conns"},
		{"connect --at-a-time 0", "--at-a-time"},
		{"connect --ping 10ms", "--ping"},
		{"connect --duration 0s", "--duration"},
		{"login --by name", "--by"},
		{"login --users 0", "--users"},
		{"login --users 1000001", "--users"},
		{"login --users 10 --at-a-time 11", "--at-a-time"},
		{"login --at-a-time 1025", "--at-a-time"},
		{"login --history -1", "--history"},
		{"login --history 1999", "--history"},
		{"login --history 10000001", "--history"},
		{"login --duration 0s", "--duration"},
		{"storm --conns 0", "--conns"},
		{"storm --at-a-time 1025", "--at-a-time"},
		{"storm --chatting 0", "--chatting"},
		{"storm --chatting 4097", "--chatting"},
		{"storm --rate 0", "--rate"},
		{"storm --rate 1e9", "--rate"},
		{"storm --chatting 4096 --rate 2", "--rate"},
		{"storm --duration 0s", "--duration"},
		{"offline --users 0", "--users"},
		{"offline --messages 0", "--messages"},
		{"offline --users 10001 --messages 1000", "--messages"},
		{"offline --senders 20001", "--senders"},
		{"offline --at-a-time 0", "--at-a-time"},
		{"offline --size 31", "--size"},
		{"offline --size 32769", "--size"},
		{"offline --patience 0s", "--patience"},
		{"bully --pairs 0", "--pairs"},
		{"bully --rate 0", "--rate"},
		{"bully --kind tea", "--kind"},
		{"bully --kind event --size 1025", "--size"},
		{"bully --bullies 0", "--bullies"},
		{"bully --conns 9", "--conns"},
		{"bully --window 0", "--window"},
		{"bully --rounds 0", "--rounds"},
		{"bully --turn 0s", "--turn"},
		{"bully --most 0.5", "--most"},
		{"stream --addr 127.0.0.1:6000 --limits", "--limits"},
		{"floor event --limits", "--limits"},
		{"soak --rate -1", "--rate"},
		{"soak --rate NaN", "--rate"},
		{"soak --users 21", "--users"},
		{"soak --leave -1", "--leave"},
		{"soak --away 2m", "--away"},
		{"soak --size 31", "--size"},
		{"soak --duration 49h", "--duration"},
		{"soak --warmup -1s", "--warmup"},
		{"soak --every 0s", "--every"},
		{"soak --duration 29s", "--every"},
		{"stream --spawn oracle", "--spawn"},
		{"crash --spawn mysql", "--spawn"},
		{"crash --spawn sqlite --nodes 2", "--nodes"},
		{"stream --nodes 2", "--nodes"},
		{"stream --spawn mysql --nodes 2", "--nodes"},
		{"stream --spawn cluster --nodes -1", "--nodes"},
		{"stream --spawn cluster --nodes 17", "--nodes"},
		{"stream --mariadb-arg=--x", "--mariadb-arg"},
		{"stream --addr 127.0.0.1:6000 --nodes 2", "--nodes"},
		{"stream --http 127.0.0.1:80", "--http"},
		{"stream --pid 1", "--pid"},
		{"stream --other-addr 127.0.0.1:6000", "--other-addr"},
		{"stream --addr 127.0.0.1:6000 --other-addr 10.0.0.1:6000", "--other-addr"},
		{"stream --addr 127.0.0.1", "--addr"},
		{"stream --addr 127.0.0.1:0", "--addr"},
		{"stream --addr 127.0.0.1:70000", "--addr"},
		{"stream --addr 192.0.2.1:6000", "not a loopback address"},
		{"stream --addr 0.0.0.0:6000", "not a loopback address"},
		{"stream --addr chat.example.com:6000", "not a loopback address"},
		{"stream --addr 127.0.0.1:6000 --http 192.0.2.1:80", "--http"},
		{"stream --addr 127.0.0.1:6000 --chatd /bin/true", "--chatd"},
		{"stream --addr 127.0.0.1:6000 --pid -1", "--pid"},
		{"stream --addr 127.0.0.1:6000 --pid chatd", "--pid"},
		{"stream --addr 127.0.0.1:6000 --pid =1", "--pid"},
		{"stream --addr 127.0.0.1:6000 --pid 1 --pid MariaDB=2", "write each as NAME=PID"},
		{"stream --addr 127.0.0.1:6000 --pid a=1 --pid a=2", "--pid"},
		{"stream --addr 127.0.0.1:6000 --pid a=1 --pid b=1", "--pid"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), strings.Fields(c.args), &stdout, &stderr, io.Discard)
		if code != exitUsage || !strings.Contains(stderr.String(), c.want) || stdout.Len() > 0 {
			t.Errorf("chatbench %s: exit code %d, error %q; want %d and %q", c.args, code, stderr.String(), exitUsage, c.want)
		}
	}
}

// The defaults are valid, and --help of every scenario goes to stdout with exit
// code 0.
func TestHelpAndDefaults(t *testing.T) {
	for _, scenario := range []string{"stream", "ping", "event", "fanout", "mix", "connect", "login", "storm", "offline", "bully", "soak", "floor stream", "floor ping", "floor event"} {
		inv, err := parse(strings.Fields(scenario), io.Discard)
		if err != nil || inv.scenario.Name() != scenario || len(inv.settings) == 0 {
			t.Errorf("parse(%s) = %+v, %v; want that scenario with settings", scenario, inv, err)
		}
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), strings.Fields(scenario+" --help"), &stdout, &stderr, io.Discard)
		if code != exitOK || stderr.Len() > 0 {
			t.Errorf("%s --help: exit code %d, want %d and nothing on stderr; output:\n%s%s", scenario, code, exitOK, &stdout, &stderr)
		}
		for flag := range inv.settings {
			if !strings.Contains(stdout.String(), "--"+flag) {
				t.Errorf("%s --help lacks --%s\n%s", scenario, flag, &stdout)
			}
		}
	}
}

// crash tests a cluster of three nodes, unless --spawn sqlite asks for one node
// with SQLite. The command at the end of its report repeats the plan.
func TestCrashArguments(t *testing.T) {
	for _, c := range []struct {
		args   string
		sqlite bool
		nodes  int
	}{
		{"crash", false, crashNodes},
		{"crash --spawn cluster --nodes 2", false, 2},
		{"crash --spawn sqlite", true, 1},
		{"crash --spawn sqlite --nodes 1", true, 1},
	} {
		inv, err := parse(strings.Fields(c.args), io.Discard)
		if err != nil {
			t.Errorf("parse(%s): %v", c.args, err)
			continue
		}
		cfg := inv.tool.(*crashCommand).config()
		if cfg.SQLite != c.sqlite || cfg.Nodes != c.nodes {
			t.Errorf("chatbench %s: SQLite = %t with %d nodes, want %t with %d", c.args, cfg.SQLite, cfg.Nodes, c.sqlite, c.nodes)
		}
		line := verdictOf(&crash.Report{Seed: 7, SQLite: cfg.SQLite, Nodes: cfg.Nodes, Users: 5, Rate: 9, Duration: time.Minute})
		_, again, _ := strings.Cut(line, "chatbench ")
		if inv, err = parse(strings.Fields(again), io.Discard); err != nil {
			t.Errorf("parse(%s): %v", again, err)
			continue
		}
		if got := inv.tool.(*crashCommand).config(); got.SQLite != c.sqlite || got.Nodes != c.nodes || got.Seed != 7 || got.Users != 5 || got.Rate != 9 || got.Duration != time.Minute {
			t.Errorf("%q repeats another plan: %+v", again, got)
		}
	}
}

// crash --list lists the faults that can occur.
func TestCrashList(t *testing.T) {
	for _, spawn := range []string{"cluster", "sqlite"} {
		var stdout, stderr bytes.Buffer
		code := run(context.Background(), []string{"crash", "--spawn", spawn, "--list"}, &stdout, &stderr, io.Discard)
		redis := strings.Contains(stdout.String(), "Redis")
		if code != exitOK || !strings.Contains(stdout.String(), "node killed") || redis != (spawn == "cluster") {
			t.Errorf("crash --spawn %s --list: exit code %d, output:\n%s%s", spawn, code, &stdout, &stderr)
		}
	}
}
