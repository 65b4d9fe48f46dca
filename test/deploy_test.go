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

// TestClusterScript checks deploy/cluster.sh, which make cluster runs. up must start
// only what isn't running, down must leave nothing running, and a rolling restart must
// replace the process of every node without losing messages.
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
		t.Errorf("cluster.sh up prints no command to connect to port %d:\n%s", base, out)
	}
	before := pids()
	must("cluster.sh", "up")
	if after := pids(); len(before) != 6 || !slices.Equal(before, after) {
		t.Errorf("after the first up: %v, after the second: %v; want the same 6 processes", before, after)
	}
	anna, berta := newPerson(t, loopback(base), "anna"), newPerson(t, loopback(base), "berta")
	r := anna.say(client.User(berta.id), "hello")
	berta.receives(client.User(anna.id), "hello")

	must("cluster.sh", "stop", "node2")
	if out, err := run("cluster.sh", "status"); err == nil || !strings.Contains(out, "node2: stopped") {
		t.Errorf("cluster.sh status without node2: %v, want a failure that shows it as stopped; got\n%s", err, out)
	}
	if out, err := run("rolling-restart.sh"); err == nil || !strings.Contains(out, "nothing was restarted") {
		t.Errorf("rolling-restart.sh without node2: %v, want a failure that says \"nothing was restarted\"; got\n%s", err, out)
	}
	must("cluster.sh", "up")
	before = pids()
	must("rolling-restart.sh")
	for i, pid := range pids() {
		if node := i >= 2 && i <= 4; node == (pid == before[i]) {
			t.Errorf("processes before the rolling restart: %v, after it: %v; want only the nodes (3 to 5) replaced", before, pids())
		}
	}
	if again := anna.say(client.User(berta.id), "hello again"); again.Seq != r.Seq+1 {
		t.Errorf("first message after the rolling restart has seq %d, want %d", again.Seq, r.Seq+1)
	}
	berta.receives(client.User(anna.id), "hello again")

	must("cluster.sh", "down")
	if out, err := run("cluster.sh", "status"); err == nil || strings.Contains(out, ": running") {
		t.Errorf("cluster.sh status after down: %v, want a failure and no running service; got\n%s", err, out)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(lines) == 0 {
		t.Fatalf("cannot list processes in /proc: %v", err)
	}
	for _, line := range lines {
		if b, err := os.ReadFile(line); err == nil && bytes.Contains(b, []byte(data+"/")) {
			t.Errorf("process still running after down: %q", b)
		}
	}
	// Only the owner may read files with passwords.
	for _, name := range []string{"node1.toml", "redis.conf", "db.password", "redis.password", "tls.key"} {
		if fi, err := os.Stat(filepath.Join(data, name)); err != nil || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v; want a file with mode 0600", name, fi, err)
		}
	}
}

// skipWithoutServices skips the test if a service isn't installed and
// CHATD_SKIP_SERVICES is set. Without that variable, the script installs it.
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

// freePorts returns the first of n consecutive free ports.
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
	t.Fatalf("no %d consecutive free ports found", n)
	return 0
}

// TestDockerBuild checks what .dockerignore lets into the build of the image: all files
// that chatd is built from, and no file with a secret.
func TestDockerBuild(t *testing.T) {
	text, err := os.ReadFile(".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			patterns = append(patterns, line)
		}
	}
	// The last pattern that matches a file or one of its folders decides.
	included := func(name string) bool {
		in := true
		for _, p := range patterns {
			p, add := strings.CutPrefix(p, "!")
			base, anywhere := strings.CutPrefix(p, "**/")
			parts := strings.Split(name, "/")
			if !anywhere {
				parts = parts[:1]
			}
			if slices.ContainsFunc(parts, func(part string) bool { ok, err := filepath.Match(base, part); return ok && err == nil }) {
				in = add
			}
		}
		return in
	}
	const files = `{{if and .Module .Module.Main}}{{$dir := .Dir}}{{range .GoFiles}}{{$dir}}/{{.}} {{end}}{{range .EmbedFiles}}{{$dir}}/{{.}} {{end}}{{end}}`
	out, err := exec.Command("go", "list", "-deps", "-f", files, ".").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	root, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	needed := strings.Fields(string(out))
	if len(needed) < 100 {
		t.Fatalf("go list names %d files, want at least 100", len(needed))
	}
	for _, f := range needed {
		if name := strings.TrimPrefix(f, root+"/"); !included(name) {
			t.Errorf(".dockerignore excludes %s, which the build needs", name)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		if !included(name) {
			t.Errorf(".dockerignore excludes %s, which the build needs", name)
		}
	}
	for _, name := range []string{".git/config", "deploy/secrets/db.password", "data/chatd.db", "chatd.toml", ".env", "chat.db-wal", "tls.key", "backup.db",
		"client/.env", "client/web/tls.key", "internal/prod.env", "model/copy.db", "model/copy.db-wal", "service/x.pem", "client/secrets/x", "bin/chatd"} {
		if included(name) {
			t.Errorf(".dockerignore lets %s into the build, want it excluded", name)
		}
	}
}

// TestUnit checks the unit file with systemd-analyze, if it is installed.
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
		t.Fatalf("deploy/chatd@.service doesn't contain %q", program)
	}
	// systemd-analyze checks that the program exists.
	unit := filepath.Join(t.TempDir(), "chatd@node1.service")
	if err := os.WriteFile(unit, []byte(strings.Replace(string(text), program, "ExecStart="+self+" ", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(analyze, "verify", unit).CombinedOutput()
	if err != nil || strings.Contains(string(out), filepath.Base(unit)) {
		t.Errorf("systemd-analyze verify: %v, want no complaint about the unit; got\n%s", err, out)
	}
}
