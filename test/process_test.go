package test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// process is a chatd process of a test's own.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner // of stderr
}

// startDaemon runs this test binary as chatd, see TestMain.
func startDaemon(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := &process{cmd: exec.Command(self, args...)}
	d.cmd.Dir = dir
	d.cmd.Env = chatdEnv()
	stderr, err := d.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.lines = bufio.NewScanner(stderr)
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if d.cmd.ProcessState == nil {
			_ = d.cmd.Process.Kill()
			_ = d.cmd.Wait()
		}
	})
	return d
}

// until reads the log up to the line that the pattern is in, and returns the
// pattern's first group.
func (d *process) until(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	var seen []string
	for d.lines.Scan() {
		if m := re.FindStringSubmatch(d.lines.Text()); m != nil {
			return m[len(m)-1]
		}
		seen = append(seen, d.lines.Text())
	}
	t.Fatalf("the log ends without %q:\n%s", pattern, strings.Join(seen, "\n"))
	return ""
}

// exit reads the rest of the log and returns it with the exit code.
func (d *process) exit(t *testing.T) (code int, log string) {
	t.Helper()
	var rest []string
	for d.lines.Scan() {
		rest = append(rest, d.lines.Text())
	}
	_ = d.cmd.Wait() // the code says it
	return d.cmd.ProcessState.ExitCode(), strings.Join(rest, "\n")
}

// A whole life: a first start with nothing but an address makes its store and
// says where to connect, it is ready, a signal drains it and it exits with 0,
// and it starts again on what it left.
func TestLife(t *testing.T) {
	dir := t.TempDir()
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		d := startDaemon(t, dir, "127.0.0.1", "0", "--http", "127.0.0.1:0")
		chat := d.until(t, `chatd listening.* address=(\S+)`)
		page := d.until(t, `url=(http://\S+)`)
		c, err := net.Dial("tcp", chat)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for path, want := range map[string]string{"healthz": "ok", "readyz": "ok", "config.json": "ws://" + chat + "/ws", "metrics": "chatd_", "ops": "bin/chat 127.0.0.1", "": "/app/main.js", "app/main.js": "import"} {
			resp, err := http.Get(page + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), want) {
				t.Errorf("/%s: %d, %v, %q lacks %q", path, resp.StatusCode, err, body, want)
			}
			if path != "metrics" {
				continue
			}
			for _, name := range documentedMetrics(t) {
				// What is told of Redis is there with Redis: see TestCluster.
				if !strings.HasPrefix(name, "chatd_bus_") && !strings.Contains(string(body), "\n"+name) {
					t.Errorf("docs/operations.md explains %s, which /metrics lacks", name)
				}
			}
		}
		// Who opens the chat port in a browser gets to the web client.
		resp, err := http.Get("http://" + chat)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.Request.URL.String() != page {
			t.Errorf("a browser at the chat port: %d at %s, want %s", resp.StatusCode, resp.Request.URL, page)
		}
		if err := d.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code, log := d.exit(t); code != exitDone || !strings.Contains(log, "drained") {
			t.Errorf("%v: exit code %d\n%s", sig, code, log)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "chatd.db")); err != nil {
		t.Error(err)
	}
}

// Profiles are for this machine: an --http that others reach serves them only
// where that was asked for, and the log says which it is.
func TestProfilesOnLoopback(t *testing.T) {
	for _, c := range []struct {
		args   []string
		says   string
		status int
	}{
		{[]string{"--http", "127.0.0.1:0"}, "", 200},
		{[]string{"--http", "0.0.0.0:0"}, "/debug/pprof is off there", 404},
		{[]string{"--http", "0.0.0.0:0", "--http-pprof"}, "level=WARN msg=\"--http-pprof: ", 200},
	} {
		d := startDaemon(t, t.TempDir(), append(c.args, "127.0.0.1", "0", "--db", "sqlite:chat.db", "--admin", "127.0.0.1:0")...)
		_, port, err := net.SplitHostPort(strings.Trim(strings.TrimPrefix(d.until(t, `url=(http://\S+)`), "http://"), "/"))
		if err != nil {
			t.Fatal(err)
		}
		if c.says != "" {
			d.until(t, regexp.QuoteMeta(c.says)+"()")
		}
		admin := d.until(t, `admin address listening.* admin=(\S+)`)
		for url, want := range map[string]int{"http://127.0.0.1:" + port: c.status, "http://" + admin: 200} {
			resp, err := http.Get(url + "/debug/pprof/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%q: %s: %d, want %d", c.args, url, resp.StatusCode, want)
			}
		}
	}
}

// An address or a store that is taken is an error that names it, told once,
// with exit code 1; it doesn't harm who has it.
func TestTaken(t *testing.T) {
	dir := t.TempDir()
	first := startDaemon(t, dir, "127.0.0.1", "0", "--http", "127.0.0.1:0")
	chat := first.until(t, `chatd listening.* address=(\S+)`)
	page := strings.Trim(strings.TrimPrefix(first.until(t, `url=(http://\S+)`), "http://"), "/")
	ip, port, err := net.SplitHostPort(chat)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why, names string
		args       []string
	}{
		{"address", chat, []string{ip, port, "--http=", "--db", "sqlite:other.db"}},
		{"HTTP address", page, []string{ip, "0", "--http", page, "--db", "sqlite:other.db"}},
		{"store", "chatd.db", []string{ip, "0", "--http="}},
	} {
		code, log := startDaemon(t, dir, c.args...).exit(t)
		if code != exitError || !strings.Contains(log, c.names) || strings.Count(log, "level=ERROR") != 1 {
			t.Errorf("%s taken: exit code %d\n%s", c.why, code, log)
		}
	}
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, log := first.exit(t); code != exitDone {
		t.Errorf("the first: exit code %d\n%s", code, log)
	}
}
