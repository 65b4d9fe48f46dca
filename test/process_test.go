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
	"time"
)

// process is a chatd process that a test has started.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Scanner // lines of its stderr
}

// startDaemon runs this test binary as chatd in dir; see TestMain.
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

// until reads the log up to a line that matches the pattern, and returns what its last
// group matched. If there is none within a minute, it kills chatd and fails the test.
func (d *process) until(t *testing.T, pattern string) string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	defer time.AfterFunc(time.Minute, func() { _ = d.cmd.Process.Kill() }).Stop()
	var seen []string
	for d.lines.Scan() {
		if m := re.FindStringSubmatch(d.lines.Text()); m != nil {
			return m[len(m)-1]
		}
		seen = append(seen, d.lines.Text())
	}
	t.Fatalf("chatd ended, or was killed after a minute, without a log line that matches %q; it logged\n%s", pattern, strings.Join(seen, "\n"))
	return ""
}

// exit waits until chatd has ended, and returns its exit code and the rest of its log.
func (d *process) exit(t *testing.T) (code int, log string) {
	t.Helper()
	var rest []string
	for d.lines.Scan() {
		rest = append(rest, d.lines.Text())
	}
	_ = d.cmd.Wait() // the exit code shows errors
	return d.cmd.ProcessState.ExitCode(), strings.Join(rest, "\n")
}

// TestLife checks a first start with only an address: chatd creates a database, logs
// its addresses, serves its HTTP pages, drains after a signal, exits with 0, and can be
// started again with the same database.
func TestLife(t *testing.T) {
	dir := t.TempDir()
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		d := startDaemon(t, dir, "127.0.0.1", "0", "--http", "127.0.0.1:0", "--health", "127.0.0.1:0", "--admin", "127.0.0.1:0")
		chat := d.until(t, `chatd listening.* address=(\S+)`)
		page := d.until(t, `url=(http://\S+)`)
		health := d.until(t, `health=(\S+)`)
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
				t.Errorf("GET /%s: status %d, %v, body %q; want 200 and %q in the body", path, resp.StatusCode, err, body, want)
			}
			if path != "metrics" {
				continue
			}
			all := exportedMetrics(t, string(body))
			for place, names := range namedMetrics(t) {
				for _, name := range names {
					if !strings.HasPrefix(name, onlyRedis) && !all[name] { // see TestCluster
						t.Errorf("/metrics has no %s, which %s names", name, place)
					}
				}
			}
			for name := range all {
				if strings.HasPrefix(name, onlyRedis) {
					t.Errorf("/metrics has %s, want it only with --redis", name)
				}
			}
		}
		for path, want := range map[string]string{"healthz": "ok", "readyz": "ok", "metrics": "chatd_build_info{"} {
			resp, err := http.Get("http://" + health + "/" + path)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 || !strings.Contains(string(body), want) {
				t.Errorf("GET /%s of --health: status %d, %v, body %q; want 200 and %q in the body", path, resp.StatusCode, err, body, want)
			}
		}
		// A browser that opens the chat port is redirected to the web client.
		resp, err := http.Get("http://" + chat)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 200 || resp.Request.URL.String() != page {
			t.Errorf("GET http://%s: status %d from %s, want 200 from %s", chat, resp.StatusCode, resp.Request.URL, page)
		}
		if err := d.cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		if code, log := d.exit(t); code != exitDone || !strings.Contains(log, "drained") {
			t.Errorf("after %v: exit code %d, want %d and \"drained\" in the log; log:\n%s", sig, code, exitDone, log)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "chatd.db")); err != nil {
		t.Error(err)
	}
}

// TestProfilesOnLoopback checks that an HTTP address that other machines can reach
// serves profiles only with --http-pprof, and that the log says whether it does. The
// admin address always serves them.
func TestProfilesOnLoopback(t *testing.T) {
	for _, c := range []struct {
		args   []string
		log    string // part of a log line
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
		if c.log != "" {
			d.until(t, regexp.QuoteMeta(c.log)+"()")
		}
		admin := d.until(t, `admin address listening.* admin=(\S+)`)
		for url, want := range map[string]int{"http://127.0.0.1:" + port: c.status, "http://" + admin: 200} {
			resp, err := http.Get(url + "/debug/pprof/")
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%q: GET %s/debug/pprof/: status %d, want %d", c.args, url, resp.StatusCode, want)
			}
		}
	}
}

// TestTaken checks that chatd exits with 1 and one error that names the address or
// database if another process uses it, and that this process isn't affected.
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
		{"database", "chatd.db", []string{ip, "0", "--http="}},
	} {
		code, log := startDaemon(t, dir, c.args...).exit(t)
		if code != exitError || !strings.Contains(log, c.names) || strings.Count(log, "level=ERROR") != 1 {
			t.Errorf("%s in use: exit code %d, want %d and one error that names %s; log:\n%s", c.why, code, exitError, c.names, log)
		}
	}
	if err := first.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, log := first.exit(t); code != exitDone {
		t.Errorf("first process after SIGTERM: exit code %d, want %d; log:\n%s", code, exitDone, log)
	}
}
