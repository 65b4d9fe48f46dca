package test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"chatd/client"
	"chatd/internal/realservice"
)

// make cluster, as far as the script goes: it brings up what isn't running,
// twice is harmless, what has died is started again, a rolling restart puts
// every node into another process, and the end leaves nothing running.
func TestClusterScript(t *testing.T) {
	skipWithoutServices(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, base := t.TempDir(), freePorts(t, 14)
	env := append(chatdEnv(), "CLUSTER_CHATD="+self, "CLUSTER_DATA="+data, fmt.Sprint("CLUSTER_PORT=", base))
	run := func(script string, args ...string) (string, error) {
		cmd := exec.Command(filepath.Join("deploy", script), args...)
		cmd.Env = env
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(script string, args ...string) string {
		t.Helper()
		out, err := run(script, args...)
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", script, strings.Join(args, " "), err, out)
		}
		return out
	}
	t.Cleanup(func() { must("cluster.sh", "down") })
	pids := func() []string {
		return regexp.MustCompile(`process (\d+)`).FindAllString(must("cluster.sh", "status"), -1)
	}

	if out := must("cluster.sh", "up"); !strings.Contains(out, fmt.Sprint("bin/chat 127.0.0.1 ", base)) {
		t.Errorf("it doesn't say where to connect:\n%s", out)
	}
	before := pids()
	must("cluster.sh", "up")
	if after := pids(); len(before) != 6 || !slices.Equal(before, after) {
		t.Errorf("up twice: %v, then %v", before, after)
	}
	anna, berta := newPerson(t, loopback(base), "anna"), newPerson(t, loopback(base), "berta")
	r := anna.say(client.User(berta.id), "hello")
	berta.hears(client.User(anna.id), "hello")

	must("cluster.sh", "stop", "node2")
	if out, err := run("cluster.sh", "status"); err == nil || !strings.Contains(out, "node2: stopped") {
		t.Errorf("without node2: %v\n%s", err, out)
	}
	if out, err := run("rolling-restart.sh"); err == nil || !strings.Contains(out, "nothing was restarted") {
		t.Errorf("a rolling restart without node2: %v\n%s", err, out)
	}
	must("cluster.sh", "up")
	before = pids()
	must("rolling-restart.sh")
	for i, pid := range pids() {
		if node := i >= 2 && i <= 4; node == (pid == before[i]) {
			t.Errorf("a rolling restart: %v before, %v after", before, pids())
		}
	}
	if again := anna.say(client.User(berta.id), "hello again"); again.Seq != r.Seq+1 {
		t.Errorf("after a rolling restart seq %d comes after %d", again.Seq, r.Seq)
	}
	berta.hears(client.User(anna.id), "hello again")

	must("cluster.sh", "down")
	if out, err := run("cluster.sh", "status"); err == nil || strings.Contains(out, ": running") {
		t.Errorf("after its end: %v\n%s", err, out)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatalf("no processes: %v", err)
	}
	for _, line := range lines {
		if b, err := os.ReadFile(line); err == nil && bytes.Contains(b, []byte(data+"/")) {
			t.Errorf("after its end there is still %q", b)
		}
	}
	// Passwords are in files that only their owner reads.
	for _, name := range []string{"node1.toml", "redis.conf", "db.password", "redis.password", "tls.key"} {
		if fi, err := os.Stat(filepath.Join(data, name)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, fi, err)
		}
	}
}

// skipWithoutServices skips the test where it was asked to do without what
// isn't installed: the script would install it.
func skipWithoutServices(t *testing.T) {
	t.Helper()
	if os.Getenv("CHATD_SKIP_SERVICES") == "" {
		return
	}
	for _, name := range []string{"mariadbd", "redis-server", "nginx", "openssl"} {
		_, err := exec.LookPath(name)
		if _, sbin := exec.LookPath(filepath.Join("/usr/sbin", name)); err != nil && sbin != nil {
			t.Skipf("%s isn't installed, and CHATD_SKIP_SERVICES is set", name)
		}
	}
}

// freePorts returns the first of n ports in a row that nobody listens on.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		base, free := realservice.Port(t), true
		for p := base; p < base+n && free; p++ {
			l, err := net.Listen("tcp", loopback(p))
			if free = err == nil; free {
				l.Close()
			}
		}
		if free {
			return base
		}
	}
	t.Fatal("no free ports in a row")
	return 0
}

// The unit is one that systemd understands, where there is a systemd to ask.
func TestUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze isn't installed")
	}
	text, err := os.ReadFile("deploy/chatd@.service")
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const program = "ExecStart=/usr/local/bin/chatd "
	if !strings.Contains(string(text), program) {
		t.Fatalf("no line begins with %q", program)
	}
	// systemd looks whether the program is there.
	unit := filepath.Join(t.TempDir(), "chatd@node1.service")
	if err := os.WriteFile(unit, []byte(strings.Replace(string(text), program, "ExecStart="+self+" ", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), filepath.Base(unit)) {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}
