package test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"chatd/internal/realservice"
	"chatd/proto"
)

// quick are flags for nodes that serve at once, and hash passwords fast.
var quick = []string{"--http=", "--argon2=8,1,1"}

// works checks that a node serves clients and stores what they send.
func works(t *testing.T, addr, name string) {
	t.Helper()
	c := dialRaw(t, addr)
	c.account(name)
	c.conn.Close()
}

// drains checks that a node ends with exit code 0 after SIGTERM.
func (d *process) drains(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code, log := d.exit(t); code != exitDone {
		t.Errorf("after SIGTERM: exit code %d, want %d; log:\n%s", code, exitDone, log)
	}
}

// startShell runs chatd from a shell command, in which "$@" is the command line of
// chatd. prepare may change the command. Nothing reads its stderr unless prepare says
// so.
func startShell(t *testing.T, script string, prepare func(cmd *exec.Cmd), args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	d := &process{cmd: exec.Command("sh", append([]string{"-c", script, "sh", self}, args...)...)}
	d.cmd.Dir, d.cmd.Env = t.TempDir(), chatdEnv()
	if prepare != nil {
		prepare(d.cmd)
	}
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

// accepts waits until something accepts connections at addr.
func accepts(t *testing.T, addr string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("nothing accepts connections at %s after a minute: %v", addr, err)
		}
	}
}

func (d *process) ends(t *testing.T, what string) int {
	t.Helper()
	ended := make(chan struct{})
	go func() {
		_ = d.cmd.Wait() // the exit code shows errors
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(time.Minute):
		_ = d.cmd.Process.Kill()
		<-ended
		t.Fatalf("%s: chatd was still running after a minute", what)
	}
	return d.cmd.ProcessState.ExitCode()
}

// Signals that mean nothing to chatd don't end or stop it, and SIGHUP reloads its
// settings.
func TestSignalsDontEndIt(t *testing.T) {
	d := startDaemon(t, t.TempDir(), append(quick, "127.0.0.1", "0")...)
	addr := d.until(t, `chatd listening.* address=(\S+)`)
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGXFSZ,
		syscall.SIGTTOU, syscall.SIGTTIN, syscall.SIGCHLD, syscall.SIGWINCH, syscall.SIGURG, syscall.SIGCONT} {
		if err := d.cmd.Process.Signal(sig); err != nil {
			t.Fatalf("chatd has ended before %v: %v", sig, err)
		}
		if sig == syscall.SIGHUP {
			d.until(t, `settings reloaded`)
		}
		works(t, addr, fmt.Sprint("user after ", int(sig)))
	}
	d.drains(t)
}

// SIGHUP changes the settings that can be changed in a running node, says which
// others need a restart, and changes nothing if a setting is invalid.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "chatd.toml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("conns-per-addr = 100")
	d := startDaemon(t, dir, append(quick, "127.0.0.1", "0", "--config", "chatd.toml")...)
	addr := d.until(t, `chatd listening.* address=(\S+)`)
	reload := func(pattern string) string {
		t.Helper()
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		return d.until(t, pattern)
	}
	upgrade := func() int {
		t.Helper()
		r, err := http.NewRequest(http.MethodGet, "http://"+addr+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		for k, v := range map[string]string{"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Origin": "https://friend.example"} {
			r.Header.Set(k, v)
		}
		resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	if got := upgrade(); got != 403 {
		t.Fatalf("WebSocket from another origin: status %d, want 403", got)
	}
	write("conns-per-addr = 100\nlog-level = 'debug'\norigins = ['https://friend.example']\nmax-groups = 7")
	if got := reload(`settings reloaded" changed="(\[.*\])"`); got != "[log-level origins]" {
		t.Errorf("changed settings = %s, want [log-level origins]", got)
	}
	if got := d.until(t, `need a restart of chatd" settings=(\[.*\])`); got != "[max-groups]" {
		t.Errorf("settings that need a restart = %s, want [max-groups]", got)
	}
	if got := upgrade(); got != 101 {
		t.Errorf("WebSocket from an origin that was added: status %d, want 101", got)
	}
	write("origins = ['nonsense']")
	reload(`level=ERROR msg="settings not reloaded.*origins`)
	write("nonsense = 1")
	reload(`level=ERROR msg="settings not reloaded.*nonsense`)
	if got := upgrade(); got != 101 {
		t.Errorf("WebSocket from an allowed origin after an invalid file: status %d, want 101", got)
	}
	// A limit of connections counts those that are open already.
	open := dialRaw(t, addr)
	open.account("anna")
	write("conns-per-addr = 1\nmax-groups = 7")
	if got := reload(`settings reloaded" changed="(\[.*\])"`); got != "[conns-per-addr log-level origins]" {
		t.Errorf("changed settings = %s, want [conns-per-addr log-level origins]", got)
	}
	refused := dialRaw(t, addr)
	if a, err := refused.read(); err != nil || a.Op != proto.ERROR || a.Errno != int(proto.TooFast) {
		t.Errorf("a second connection with --conns-per-addr 1: %+v, %v; want errno %d", a, err, proto.TooFast)
	}
	if err := os.Remove(conf); err != nil {
		t.Fatal(err)
	}
	reload(`level=ERROR msg="settings not reloaded.*no such file`)
	open.call(&proto.Request{Op: proto.CREATE_GROUP, GroupName: "group"})
	d.drains(t)
}

// A node whose log nobody reads, with a full pipe, starts and serves. What it
// couldn't write, it counts. When the reader is gone, it keeps serving.
func TestLogReaderStops(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	fd := int(w.Fd()) // sets the file to blocking
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	for { // fill the pipe
		if _, err := unix.Write(fd, make([]byte, 4096)); err != nil {
			break
		}
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		t.Fatal(err)
	}
	addr := loopback(realservice.Port(t))
	_, port, _ := net.SplitHostPort(addr)
	d := startShell(t, `exec "$@"`, func(cmd *exec.Cmd) { cmd.Stderr = w }, append(quick, "127.0.0.1", port)...)
	w.Close()
	accepts(t, addr)
	works(t, addr, "anna")
	if err := r.Close(); err != nil { // the reader is gone
		t.Fatal(err)
	}
	for range 3 {
		if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil { // it logs
			t.Fatal(err)
		}
	}
	works(t, addr, "berta")
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := d.ends(t, "after SIGTERM"); code != exitDone {
		t.Errorf("after SIGTERM, without a reader of the log: exit code %d, want %d", code, exitDone)
	}
}

// A node starts and serves while the disk of its log is full, with its standard input
// closed, and with its working folder removed.
func TestPoorEnvironment(t *testing.T) {
	for name, script := range map[string]string{
		"the log's disk is full":        `exec "$@" 2>/dev/full`,
		"stderr is closed":              `exec "$@" 2>&-`,
		"stdin and stdout are closed":   `exec "$@" <&- >&-`,
		"everything is closed":          `exec "$@" <&- >&- 2>&-`,
		"the working folder is removed": `mkdir gone && cd gone && rmdir ../gone && exec "$@"`,
		"without environment":           `exec env -i BE_CHATD=1 "$@"`,
		"few descriptors":               `ulimit -n 100; exec "$@"`,
		"started with ignored signals":  `trap '' HUP INT PIPE USR1; exec "$@"`,
	} {
		t.Run(name, func(t *testing.T) {
			addr, db := loopback(realservice.Port(t)), filepath.Join(t.TempDir(), "chat.db")
			_, port, _ := net.SplitHostPort(addr)
			d := startShell(t, script, nil, append(quick, "127.0.0.1", port, "--db", "sqlite:"+db)...)
			accepts(t, addr)
			works(t, addr, "anna")
			for range 5 {
				works(t, addr, "berta"+fmt.Sprint(time.Now().UnixNano()))
			}
			if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			works(t, addr, "clara")
			if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			if code := d.ends(t, "after SIGTERM"); code != exitDone {
				t.Errorf("after SIGTERM: exit code %d, want %d", code, exitDone)
			}
		})
	}
}

// SIGTERM ends a start that waits for a database server which accepts connections and
// never answers, as one behind a name server or a network that hangs.
func TestSignalEndsAHangingStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := startDaemon(t, t.TempDir(), append(quick, "127.0.0.1", "0", "--wait=10h", "--db", "mysql://chat:secret@"+l.Addr().String()+"/chat")...)
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	// The first line of the log is about the start.
	if code, log := d.exit(t); code != exitError || !strings.Contains(log, "stopped by a signal during startup") {
		t.Errorf("after SIGTERM during the start: exit code %d, want %d and a log that says so; log:\n%s", code, exitError, log)
	}
}

// When the terminal that chatd was started from is closed, chatd drains.
func TestTerminalIsClosed(t *testing.T) {
	here, user := terminal(t)
	addr := loopback(realservice.Port(t))
	_, port, _ := net.SplitHostPort(addr)
	d := startShell(t, `exec "$@"`, func(cmd *exec.Cmd) {
		cmd.Stdin, cmd.Stdout, cmd.Stderr = user, user, user
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	}, append(quick, "127.0.0.1", port)...)
	user.Close()
	accepts(t, addr)
	works(t, addr, "anna")
	if err := d.cmd.Process.Signal(syscall.SIGHUP); err != nil { // the terminal is still there
		t.Fatal(err)
	}
	works(t, addr, "berta")
	if err := here.Close(); err != nil {
		t.Fatal(err)
	}
	if code := d.ends(t, "after its terminal was closed"); code != exitDone {
		t.Errorf("after its terminal was closed: exit code %d, want %d", code, exitDone)
	}
}
