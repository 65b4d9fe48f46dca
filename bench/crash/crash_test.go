package crash

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"chatd/internal/services"
	"chatd/internal/testbuild"
)

// mutation is a change to the server's source that breaks one promise.
type mutation struct{ file, old, new string }

// build builds the server with mutations.
func build(t *testing.T, mutations ...mutation) (chatd string) {
	t.Helper()
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replace := make(map[string]string)
	for i, m := range mutations {
		path := filepath.Join(top, m.file)
		from := path
		if changed, ok := replace[path]; ok {
			from = changed
		}
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), m.old); n != 1 {
			t.Fatalf("%s contains this text %d times, want once; adapt the mutation to the new source:\n%s", m.file, n, m.old)
		}
		changed := filepath.Join(dir, strings.ReplaceAll(m.file, "/", "-")+string(rune('a'+i)))
		if err := os.WriteFile(changed, []byte(strings.Replace(string(text), m.old, m.new, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[path] = changed
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	chatd = filepath.Join(dir, "chatd")
	if err := testbuild.Program(chatd, "chatd", "-overlay", file); err != nil {
		t.Fatal(err)
	}
	return chatd
}

// needServices fails the test if services are missing, or skips it if that is
// allowed.
func needServices(t *testing.T) {
	t.Helper()
	for _, program := range append(append([]string{"nginx"}, services.MariaDBPrograms...), services.RedisPrograms...) {
		if _, err := services.Find(program); err != nil {
			if os.Getenv("CHATD_SKIP_SERVICES") != "" {
				t.Skip(err)
			}
			t.Fatal(err)
		}
	}
}

func mustRun(t *testing.T, cfg Config) *Report {
	t.Helper()
	cfg.Dir = t.TempDir()
	rep, err := Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(cfg.Dir, "*")); len(left) > 0 {
		t.Errorf("files left behind: %q", left)
	}
	return rep
}

// A cluster, and a node with SQLite, keep their promises while all kinds of
// faults happen.
func TestNothingIsLost(t *testing.T) {
	needServices(t)
	chatd := filepath.Join(t.TempDir(), "chatd")
	if err := testbuild.Clock(chatd); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, first string // part of the report's first line
		cfg         Config
	}{
		{"cluster", "seed 1, cluster of 3 nodes with MariaDB and Redis, 6 users with 18 devices", Config{Nodes: 3}},
		{"SQLite", "seed 1, one node with SQLite, 6 users with 18 devices", Config{Nodes: 1, SQLite: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // mostly waiting
			c.cfg.Chatd, c.cfg.Users, c.cfg.Rate, c.cfg.Duration, c.cfg.Seed = chatd, 6, 300, 20*time.Second, 1
			rep := mustRun(t, c.cfg)
			if !rep.Clean() || rep.FaultCount < 5 || rep.Shown < rep.Acknowledged || rep.Resent == 0 {
				t.Errorf("clean = %t with %d faults, want true with at least 5; %d messages acknowledged, %d shown, %d sent again\n%s",
					rep.Clean(), rep.FaultCount, rep.Acknowledged, rep.Shown, rep.Resent, rep)
			}
			if text := rep.String(); !strings.HasPrefix(text, c.first) {
				t.Errorf("report = %.200q, want it to start with %q", text, c.first)
			}
			t.Logf("%s", rep)
		})
	}
}

// The checker must catch servers that are broken on purpose, and report the
// right kinds of violations.
func TestBrokenServersAreCaught(t *testing.T) {
	needServices(t)
	// early announces a batch before it is committed, so that some of what was
	// announced is rolled back: pushes if what is "true", ACKs if it is "false".
	early := func(what string) []mutation {
		return []mutation{
			{"model/groupcommit/executor.go", `	if err := e.step.Commit(); err != nil {`, `	var stored []*Append
	for _, a := range batch {
		if a.Stored {
			stored = append(stored, a)
		}
	}
	e.c.config.Sink(context.WithValue(ctx, "early", true), stored)
	time.Sleep(500 * time.Millisecond)
	if err := e.step.Commit(); err != nil {`},
			{"service/delivery/route.go", `	perLoop := make([][]*update, len(d.topics))`, `	early := ctx.Value("early") != nil
	perLoop := make([][]*update, len(d.topics))`},
			{"service/delivery/route.go", `	if len(out.messages) > 0 {`, `	deliver := early == (` + what + `)
	ack := !early || !` + what + `
	if !deliver {
		out.messages = nil
	}
	if len(out.messages) > 0 {`},
			{"service/delivery/route.go", `l.pushBatch(t, changes) })`, `l.pushBatch(t, changes, true, true) })`},
			{"service/delivery/route.go", `d.topics[i].pushBatch(t, list) })`, `d.topics[i].pushBatch(t, list, deliver, ack) })`},
			{"service/delivery/route.go", `) pushBatch(t Turn, list []*update) {`, `) pushBatch(t Turn, list []*update, deliver, ack bool) {`},
			{"service/delivery/route.go", `			l.pushBatch(t, list)`, `			l.pushBatch(t, list, deliver, ack)`},
			{"service/delivery/route.go", `		l.conclude(t, run)`, `		l.conclude(t, run, deliver, ack)`},
			{"service/delivery/route.go", `) conclude(t Turn, run []*update) {`, `) conclude(t Turn, run []*update, deliver, ack bool) {`},
			{"service/delivery/route.go", `	if up.from != nil && up.from.Session.Loop == l.index {`, `	if up.from != nil && up.from.Session.Loop == l.index && ack {`},
			{"service/delivery/route.go", `	if up.from == nil || up.from.Err == nil {
		l.deliver(t, run)`, `	if (up.from == nil || up.from.Err == nil) && deliver {
		l.deliver(t, run)`},
			// Don't acknowledge again what was acknowledged early.
			{"service/session/order.go", `) Ack(t Turn) {
	c := m.Conn
	o := &c.on.order
`, `) Ack(t Turn) {
	c := m.Conn
	o := &c.on.order
	if slices.Index(o.inFlight, m) < 0 {
		return
	}
`},
		}
	}
	for _, c := range []struct {
		name      string
		nodes     int // 0: one node with SQLite
		mutations []mutation
		faults    string
		want      []Kind
	}{
		{"ACK before commit", 2, early("false"), "all nodes killed", []Kind{Lost}},
		{"publish before commit", 2, early("true"), "all nodes killed", []Kind{Invented}},
		{"cursor moved before delivery", 1, []mutation{
			{"service/delivery/progress.go", `		if delivered := min(seq, cu.claimed); delivered > cu.saved {`,
				`		if delivered := seq; delivered > cu.saved {`}}, "connections half open", []Kind{Lost}},
		{"one push in fifty dropped", 1, []mutation{
			{"service/delivery/deliver.go", `			cu.session.Conn(t).WriteFrames(t, frames)`, `			for _, m := range run {
				if m.seq%50 != 49 {
					cu.session.Conn(t).Write(t, m.body)
				}
			}`}}, "nginx reloaded", []Kind{Gap}},
		{"most transactions missing in the feed", 2, []mutation{
			{"model/appendstep.go", `	return s.lane.Record(tick,`, `	if tick%16 != 0 {
		s.lane.Reset()
		return nil
	}
	return s.lane.Record(tick,`}}, "nginx reloaded", []Kind{Lost}},
		{"SQLite: the index claims to have all messages of every conversation", 0, []mutation{
			{"model/recent/index.go", `	return len(rows) > 0 && rows[0].seq == 1 && !x.doubtful`, `	_ = rows
	return true`}}, "nginx reloaded", []Kind{DuplicateStore}},
		{"SQLite: messages forgotten by the index without being copied", 0, []mutation{
			{"model/recent/fold.go", "`INSERT OR ROLLBACK INTO messages (`+Columns+`) SELECT `+Columns+` FROM recent\n" +
				"			WHERE id IN (SELECT value FROM json_each(?)) ORDER BY conversation_id, seq`",
				"`UPDATE recent SET seq = seq WHERE id IN (SELECT value FROM json_each(?))`"}}, "nginx reloaded", []Kind{Doubled}},
		// This server breaks three promises. All must be reported.
		{"some messages held up, the sending device pushed its own, and a panic that nobody recovers", 1, []mutation{
			{"service/messages/messages.go", `	"context"
`, `	"context"
	"os"
	"slices"
	"sync/atomic"
	"time"
`},
			{"service/messages/messages.go", `// HandOver hands a turn's messages`, `var heldUp atomic.Int64

// dieOnce ends the first process of this program.
func dieOnce() {
	if f, err := os.OpenFile(os.Args[0]+".died", os.O_CREATE|os.O_EXCL, 0o600); err == nil {
		_ = f.Close()
		panic("nobody recovers this")
	}
}

// HandOver hands a turn's messages`},
			{"service/messages/messages.go", `	if err := m.store.Append(batch...); err != nil {`, `	for i := len(batch) - 1; i >= 0; i-- {
		if a := batch[i]; a.CID[12]%4 == 0 {
			batch = slices.Delete(batch, i, i+1)
			time.AfterFunc(500*time.Millisecond, func() {
				if heldUp.Add(1) == 20 { // the talk has begun
					dieOnce()
				}
				_ = m.store.Append(a)
			})
		}
	}
	if err := m.store.Append(batch...); err != nil {`},
			{"service/delivery/deliver.go", `		own := up.from != nil && up.from.Session == cu.session && up.body != nil`, `		own := false`}}, "nginx reloaded", []Kind{Overtaken, Doubled, Died}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // mostly waiting
			rep := mustRun(t, Config{Chatd: build(t, c.mutations...), SQLite: c.nodes == 0, Nodes: max(c.nodes, 1), Users: 4, Rate: 300, Duration: 10 * time.Second, Seed: 3,
				Faults: strings.Split(c.faults, ",")})
			for _, want := range c.want {
				if rep.Violations[want] == 0 {
					t.Errorf("no violation of kind %q\n%s", want, rep)
				}
			}
			t.Logf("%v", rep.Violations)
		})
	}
}

// An interrupted run repairs its faults, stops its services, and leaves no
// files behind.
func TestInterrupted(t *testing.T) {
	needServices(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	rep, err := Run(ctx, Config{Chatd: build(t), Dir: dir, Nodes: 1, Users: 2, Rate: 50, Duration: 10 * time.Minute, Seed: 2,
		Faults: []string{"MariaDB frozen", "node frozen"},
		Progress: func(line string) {
			if strings.Contains(line, " acknowledged ") && !strings.HasSuffix(line, " 0 faults") {
				cancel()
			}
		}})
	if err != nil || !rep.Interrupted || rep.FaultCount == 0 || rep.Talked > 5*time.Minute {
		t.Errorf("Run: error %v, interrupted = %t, %d faults, sent for %s; want an early end after the first fault\n%s",
			err, rep.Interrupted, rep.FaultCount, rep.Talked, rep)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("files left behind: %q", left)
	}
}
