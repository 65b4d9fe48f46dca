package crash

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/internal/services"
)

func emptyEnvironment(nodes, devices int) *environment {
	env := &environment{cluster: &cluster{disk: &disk{}}, devices: make([]device, devices)}
	for range nodes {
		env.nodes = append(env.nodes, &services.Node{})
	}
	env.frontLinks = make([]*link, clientLinks)
	env.clocks = make([]string, nodes)
	return env
}

// The plan of a seed stays the same, so that the runs in docs/guarantees.md can be
// repeated. A new kind of fault changes all plans; adapt the hashes then.
func TestPlanStays(t *testing.T) {
	for _, c := range []struct {
		nodes int
		want  uint64
	}{{3, 0xa5bb98a65436ba11}, {1, 0xb1cc1dd7a45abc47}} {
		env, h := emptyEnvironment(c.nodes, 36), fnv.New64a()
		for _, f := range plan(env, Faults(), 2001, 5*time.Minute) {
			fmt.Fprintln(h, f.Name, f.at, f.duration, f.target, f.random)
		}
		if h.Sum64() != c.want {
			t.Errorf("plan of seed 2001 for %d nodes has hash %#x, want %#x", c.nodes, h.Sum64(), c.want)
		}
	}
}

// With SQLite, exactly the faults occur that need no cluster.
func TestPlanSQLite(t *testing.T) {
	env := emptyEnvironment(1, 36)
	env.sqlite = "chatd.db"
	kinds := make(map[string]bool)
	for _, f := range plan(env, Faults(), 5, 10*time.Minute) {
		kinds[f.Name] = true
	}
	want := []string{"client deaf", "client killed", "client's clock off",
		"connections cut", "connections half open", "connections refused", "connections slow", "connections stalled", "disk full",
		"nginx frozen", "nginx killed", "nginx reloaded", "nginx stopped", "node frozen", "node killed", "node loses power", "node stopped", "node's clock stepped"}
	if got := slices.Sorted(maps.Keys(kinds)); !slices.Equal(got, want) {
		t.Errorf("faults with SQLite = %q, want %q", got, want)
	}
}

// The same seed gives the same plan, every kind of fault occurs, and no two
// simultaneous faults use the same resource.
func TestPlan(t *testing.T) {
	env, long := emptyEnvironment(3, 36), 10*time.Minute
	a, b := plan(env, Faults(), 5, long), plan(env, Faults(), 5, long)
	if !slices.EqualFunc(a, b, func(x, y *plannedFault) bool {
		return x.Name == y.Name && x.at == y.at && x.duration == y.duration && x.target == y.target && x.random == y.random
	}) {
		t.Error("two plans with the same seed differ")
	}
	if c := plan(env, Faults(), 6, long); slices.EqualFunc(a, c, func(x, y *plannedFault) bool { return x.Name == y.Name && x.at == y.at }) {
		t.Error("two plans with different seeds are the same")
	}
	kinds := make(map[string]int)
	together := 0
	for i, f := range a {
		kinds[f.Name]++
		if f.at < 0 || f.at+f.duration > long {
			t.Errorf("%s at %s isn't within the run of %s", f, f.at, long)
		}
		for _, g := range a[:i] {
			if g.at+g.duration <= f.at {
				continue
			}
			together++
			for _, r := range f.resources(env, f.target) {
				if slices.Contains(g.resources(env, g.target), r) {
					t.Errorf("%s at %s and %s at %s overlap, but both use %s", g, g.at, f, f.at, r)
				}
			}
		}
	}
	if len(kinds) != len(Faults()) || len(a) < 200 || together < 50 {
		t.Errorf("plan has %d faults of %d kinds and %d overlaps, want at least 200 of %d kinds and 50", len(a), len(kinds), together, len(Faults()))
	}
	env.disk = nil
	for _, f := range plan(env, Faults(), 5, long) {
		if f.disk {
			t.Errorf("plan without a disk contains %s", f)
		}
	}
	if _, err := faultsNamed([]string{"node killed", "nonsense"}); err == nil || err.Error() != `unknown fault "nonsense"; chatbench crash --list shows all` {
		t.Errorf("faultsNamed with an unknown name: error %v, want one that names the unknown fault and --list", err)
	}
}

// docs/guarantees.md lists all faults, and says which occur with SQLite.
func TestFaultsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/guarantees.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range Faults() {
		sqlite := "yes"
		if f.OnlyCluster {
			sqlite = "no"
		}
		if row := fmt.Sprintf("| %s | %s | %s |\n", f.Name, f.About, sqlite); !strings.Contains(string(page), row) {
			t.Errorf("docs/guarantees.md lacks the row %s", row)
		}
	}
}

// Each method of a link has its effect on the connections through it, and
// resume ends that.
func TestLink(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- c
		}
	}()
	k, err := newLink(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	open := func() (near, far net.Conn) {
		t.Helper()
		near, err := net.Dial("tcp", k.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { near.Close() })
		far = <-accepted
		t.Cleanup(func() { far.Close() })
		return near, far
	}
	passes := func(from, to net.Conn, text string) {
		t.Helper()
		if _, err := io.WriteString(from, text); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(text))
		if _, err := io.ReadFull(to, got); err != nil || string(got) != text {
			t.Fatalf("received %q, %v; want %q", got, err, text)
		}
	}
	ends := func(c net.Conn) {
		t.Helper()
		if n, err := c.Read(make([]byte, 1)); err == nil {
			t.Fatalf("read %d bytes from a connection that should have ended", n)
		}
	}

	near, far := open()
	passes(near, far, "hello")
	passes(far, near, "hello yourself")
	k.cut()
	ends(near)
	ends(far)

	near, far = open()
	k.stall()
	if _, err := io.WriteString(near, "late"); err != nil {
		t.Fatal(err)
	}
	k.resume()
	passes(near, far, "") // the link still works
	got := make([]byte, 4)
	if _, err := io.ReadFull(far, got); err != nil || string(got) != "late" {
		t.Fatalf("after resume: received %q, %v; want \"late\"", got, err)
	}

	k.halfOpen()
	if _, err := io.WriteString(near, "lost"); err != nil {
		t.Fatal(err)
	}
	near.Close()
	if err := far.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := far.Read(got); !asTimeout(err, &timeout) {
		t.Fatalf("read from a half-open connection: %v, want a timeout", err)
	}

	// A side that loses power says nothing to the other side, and can't be reached
	// until it is back.
	near, far = open()
	passes(near, far, "hello")
	k.losePower()
	if err := far.(*net.TCPConn).SetLinger(0); err != nil { // what a kill does
		t.Fatal(err)
	}
	far.Close()
	if err := near.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := near.Read(got); !asTimeout(err, &timeout) {
		t.Fatalf("read from a connection to a side without power: %v, want a timeout", err)
	}
	if late, err := net.Dial("tcp", k.addr()); err == nil { // reset at once
		ends(late)
		late.Close()
	}
	k.resume()
	near, far = open()
	passes(near, far, "back")

	k.refuse()
	near, err = net.Dial("tcp", k.addr())
	if err == nil { // reset at once
		ends(near)
		near.Close()
	}
	k.resume()
	near, far = open()
	passes(near, far, "again")
	far.Close()
	ends(near)
}

func asTimeout(err error, to *net.Error) bool {
	n, ok := err.(net.Error)
	*to = n
	return ok && n.Timeout()
}

// Validate reports every invalid field, and Run refuses an invalid Config.
func TestConfig(t *testing.T) {
	good := Config{Nodes: 3, Users: 12, Rate: 100, Duration: time.Minute}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	bad := Config{Nodes: 17, Users: 1, Rate: 0, Duration: time.Second, Faults: []string{"rain"}}
	err := bad.Validate()
	if err == nil {
		t.Fatalf("Validate(%+v) = nil, want an error", bad)
	}
	const want = "--nodes: 17 is not between 1 and 16\n--users: 1 is not between 2 and 200\n--rate: 0 is not between 1 and 100000\n" +
		"--duration: 1s is not between 5s and 1h0m0s\n--faults: unknown fault \"rain\"; chatbench crash --list shows all"
	if err.Error() != want {
		t.Errorf("Validate = \n%s\nwant\n%s", err, want)
	}
	if _, err := Run(context.Background(), bad); err == nil {
		t.Error("Run with an invalid Config = nil, want an error")
	}
	bad = Config{SQLite: true, Nodes: 3, Users: 12, Rate: 100, Duration: time.Minute, Faults: []string{"node killed", "Redis frozen"}}
	const wantSQLite = "--nodes: must be 1 with SQLite, not 3\n--faults: \"Redis frozen\" needs a cluster; it can't happen with SQLite"
	if err := bad.Validate(); err == nil || err.Error() != wantSQLite {
		t.Errorf("Validate with SQLite = \n%v\nwant\n%s", err, wantSQLite)
	}
	bad.Nodes, bad.Faults = 1, nil
	if err := bad.Validate(); err != nil {
		t.Error(err)
	}
}

// A remark about a failed program is one line and says why.
func TestFirstAndLastLine(t *testing.T) {
	for text, want := range map[string]string{
		"no disk": "no disk",
		"node 1: ended; its log ends with:\nstop":                       "node 1: ended; its log ends with: stop",
		"node 1: ended; its log ends with:\nready\ndraining\n15 lost\n": "node 1: ended; its log ends with: 15 lost",
	} {
		if got := firstAndLastLine(errors.New(text)); got != want {
			t.Errorf("firstAndLastLine(%q) = %q, want %q", text, got, want)
		}
	}
}
