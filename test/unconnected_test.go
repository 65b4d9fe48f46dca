package test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"chatd/internal/realservice"
)

// TestUnconnectedNodes checks that two nodes that can't reach each other don't use the
// same database: the second one refuses to start, and says why, unless the operator
// allows it. A node that was killed doesn't prevent a start.
func TestUnconnectedNodes(t *testing.T) {
	m, redis := realservice.NewMariaDB(t), realservice.Redis(t)
	dir := t.TempDir()
	const listening = `chatd listening.* address=(\S+)`
	start := func(name string, args ...string) *process {
		return startDaemon(t, dir, append([]string{"127.0.0.1", "0", "--http=", "--db", m.URL, "--argon2", "8,1,1", "--node", name}, args...)...)
	}
	refuses := func(d *process, want string) {
		t.Helper()
		if code, log := d.exit(t); code != exitError || !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("exit code %d, want %d and %q in the log; log:\n%s", code, exitError, want, log)
		}
	}
	alone := start("alone")
	alone.until(t, listening)
	second, connected := start("second"), start("connected", "--redis", redis.URL)
	allowed := start("allowed", "--allow-unconnected-nodes")
	allowed.until(t, listening)
	allowed.kill(t)
	refuses(second, "chatd failed.*node alone is using the same database, and this node has no --redis")
	refuses(connected, "chatd failed.*node alone is using the same database without --redis")

	// Killed nodes are no longer in the way.
	alone.kill(t)
	one := start("one", "--redis", redis.URL)
	one.until(t, listening)
	two := start("two", "--redis", redis.URL)
	two.until(t, listening)
	one.kill(t)
	two.kill(t)
	again := start("alone")
	for again.lines.Scan() {
		line := again.lines.Text()
		if strings.Contains(line, "can't start yet") {
			t.Logf("the database hasn't noticed yet that the nodes were killed: %s", line)
		}
		if strings.Contains(line, "chatd listening") {
			return
		}
	}
	t.Error("a node doesn't start after the others were killed")
}

// TestOtherRedis checks that nodes log an error if another node with the same database
// isn't heard, because it has another Redis, and if it has the same name.
func TestOtherRedis(t *testing.T) {
	m := realservice.NewMariaDB(t)
	dir := t.TempDir()
	var nodes []*process
	for range 2 {
		nodes = append(nodes, startDaemon(t, dir, "127.0.0.1", "0", "--http=", "--db", m.URL, "--argon2", "8,1,1", "--node", "same", "--redis", realservice.Redis(t).URL))
	}
	for _, d := range nodes {
		d.until(t, "level=ERROR.*another node has the name same, too")
		d.until(t, "level=ERROR.*node same uses the same database, but isn't heard through Redis")
	}
}

// kill sends SIGKILL and waits until chatd has ended.
func (d *process) kill(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(os.Kill); err != nil {
		t.Fatal(err)
	}
	for d.lines.Scan() {
	}
	_ = d.cmd.Wait() // it was killed: an error is expected
}
