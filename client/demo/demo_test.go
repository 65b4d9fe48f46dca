package main

import (
	"bufio"
	"bytes"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatd/client"
	"chatd/internal/realservice"
	"chatd/internal/services"
	"chatd/internal/testbuild"
)

// waitTimeout is the timeout of every wait; the machine may be busy.
const waitTimeout = 60 * time.Second

// beDemo is an environment variable that makes the test binary run the demo.
const beDemo = "CHATDEMO_TEST_BE"

func TestMain(m *testing.M) {
	if os.Getenv(beDemo) != "" {
		main()
	}
	var err error
	if binaries, err = os.MkdirTemp("", "chatdemo-test-"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		_ = os.RemoveAll(binaries)
		os.Exit(code)
	}))
}

// binaries is where the tests' chatd is built.
var binaries string

var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "chatd")
	return path, testbuild.Program(path, "chatd")
})

// running is a demo started by a test.
type running struct {
	cmd    *exec.Cmd
	dir    string
	addr   string
	http   string
	out    *bufio.Scanner
	stderr bytes.Buffer
}

// startDemo starts the demo as a process and waits until it is ready. Its
// directory must be empty when the test ends.
func startDemo(t *testing.T) *running {
	t.Helper()
	chatd, err := build()
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	port, http := realservice.Port(t), realservice.Port(t)
	d := &running{dir: t.TempDir(), addr: services.Address(port), http: "http://" + services.Address(http) + "/"}
	ctx, cancel := context.WithTimeout(context.Background(), 3*waitTimeout) // so that no read blocks forever
	t.Cleanup(cancel)
	d.cmd = exec.CommandContext(ctx, self, "--chatd", chatd, "--dir", d.dir, "--speed", "20", "--port", strconv.Itoa(port), "--http", strconv.Itoa(http))
	d.cmd.Env = append(os.Environ(), beDemo+"=1")
	d.cmd.Stderr = &d.stderr
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	d.out = bufio.NewScanner(out)
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

// until reads the demo's output up to a line that contains words, and returns it.
// If there is none within a minute, it kills the demo and fails the test.
func (d *running) until(t *testing.T, words string) string {
	t.Helper()
	defer time.AfterFunc(time.Minute, func() { _ = d.cmd.Process.Kill() }).Stop()
	var seen []string
	for d.out.Scan() {
		if strings.Contains(d.out.Text(), words) {
			return d.out.Text()
		}
		seen = append(seen, d.out.Text())
	}
	_ = d.cmd.Wait()
	t.Fatalf("the demo ended, or was killed after a minute, without printing %q; it printed\n%s\nand the errors\n%s", words, strings.Join(seen, "\n"), d.stderr.String())
	return ""
}

// end sends a signal to the demo, waits until it has ended, and returns its exit
// code.
func (d *running) end(t *testing.T, s os.Signal) int {
	t.Helper()
	if err := d.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
	for d.out.Scan() { // a full pipe would block the demo
	}
	_ = d.cmd.Wait() // the exit code shows errors
	return d.cmd.ProcessState.ExitCode()
}

// remains lists the files left in the demo's directory, and its processes.
func (d *running) remains() []string {
	all, _ := filepath.Glob(filepath.Join(d.dir, "*"))
	processes, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range processes {
		line, _ := os.ReadFile(p + "/cmdline") // an error means that the process has ended
		log, _ := os.Readlink(p + "/fd/2")
		if bytes.Contains(line, []byte(d.dir)) || strings.HasPrefix(log, d.dir) {
			all = append(all, p+": "+string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	return all
}

// visitor is a newcomer to the demo.
type visitor struct {
	*client.Client
	messages chan client.Message
	typing   chan struct{} // capacity 1: a typing event has arrived
}

func visit(t *testing.T, addr string) *visitor {
	t.Helper()
	v := &visitor{messages: make(chan client.Message, 4096), typing: make(chan struct{}, 1)}
	var err error
	v.Client, err = client.New(client.Config{Addrs: []string{addr}, Handlers: client.Handlers{
		Message: func(m client.Message) {
			select {
			case v.messages <- m:
			default: // the test needs only one
			}
		},
		Event: func(client.Event) {
			select {
			case v.typing <- struct{}{}:
			default:
			}
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// await waits for a message for which suits returns true.
func (v *visitor) await(ctx context.Context, t *testing.T, what string, suits func(client.Message) bool) client.Message {
	t.Helper()
	for {
		select {
		case m := <-v.messages:
			if suits(m) {
				return m
			}
		case <-ctx.Done():
			t.Fatalf("waiting for %s: timed out", what)
		}
	}
}

// TestDemo checks what a newcomer finds: an account with friends, groups and
// unread messages, people who chat and type, and replies in private and in a
// group. After SIGINT, no files or processes may be left.
func TestDemo(t *testing.T) {
	d := startDemo(t)
	ctx, cancel := context.WithTimeout(context.Background(), waitTimeout)
	defer cancel()
	d.until(t, "This is a DEMO")
	if line := d.until(t, d.http); !strings.Contains(line, guestName) || !strings.Contains(line, guestPassword) {
		t.Errorf("the login line is %q, want the user %q and the password %q in it", line, guestName, guestPassword)
	}
	d.until(t, "Ctrl-C to stop.")

	guest := visit(t, d.addr)
	if err := guest.Login(ctx, guestName, guestPassword); err != nil {
		t.Fatal(err)
	}
	if f, g := guest.Friends(), guest.Groups(); len(f) < 5 || len(g) < 3 {
		t.Errorf("the guest has %d friends and %d groups, want at least 5 and 3", len(f), len(g))
	}
	list, _, err := guest.Conversations(ctx, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	var read, unread int64
	for _, c := range list {
		read += c.Read
		unread += c.Last - c.Read
	}
	if read < 50 || unread < 5 {
		t.Errorf("the guest has %d read and %d unread messages, want at least 50 and 5", read, unread)
	}
	guest.await(ctx, t, "a live message in a group", func(m client.Message) bool { return !m.Backlog && m.Conv.Group != 0 })
	select {
	case <-guest.typing:
	case <-ctx.Done():
		t.Error("no typing event arrived")
	}

	bob := visit(t, d.addr)
	if _, err := bob.Register(ctx, "bob", "bob-bob"); err != nil {
		t.Fatal(err)
	}
	if err := bob.Login(ctx, "bob", "bob-bob"); err != nil {
		t.Fatal(err)
	}
	mei, err := bob.FindUser(ctx, "mei")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bob.AddFriend(ctx, mei.ID); err != nil {
		t.Fatal(err)
	}
	from := func(m client.Message) bool { return m.Conv == client.User(mei.ID) }
	hello := bob.await(ctx, t, "mei's greeting", from)
	if _, err := bob.Send(ctx, client.User(mei.ID), "are you a robot?"); err != nil {
		t.Fatal(err)
	}
	if m := bob.await(ctx, t, "mei's reply", from); m.Seq <= hello.Seq || !strings.Contains(m.Text, "scripts") {
		t.Errorf("got the reply %q with seq %d, want one that contains \"scripts\" after seq %d", m.Text, m.Seq, hello.Seq)
	}
	tea := guest.Groups()[0]
	if _, err := bob.JoinGroup(ctx, tea.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := bob.Send(ctx, client.Group(tea.ID), "谢谢"); err != nil {
		t.Fatal(err)
	}
	bob.await(ctx, t, "a reply in the group", func(m client.Message) bool { return m.Conv.Group == tea.ID && strings.Contains(m.Text, "不客气") })

	if code := d.end(t, syscall.SIGINT); code != exitDone {
		t.Errorf("exit code after SIGINT = %d, want %d; errors:\n%s", code, exitDone, d.stderr.String())
	}
	if left := d.remains(); len(left) > 0 {
		t.Errorf("files or processes left after the demo has ended: %q, want none", left)
	}
	if c, err := net.Dial("tcp", d.addr); err == nil {
		_ = c.Close()
		t.Errorf("the server still listens on %s after the demo has ended", d.addr)
	}
}

// TestDemoEnds checks that no files or processes are left when the demo is killed,
// or is terminated during startup.
func TestDemoEnds(t *testing.T) {
	for _, c := range []struct {
		name   string
		signal syscall.Signal
		until  string // send the signal after this output; "": as soon as the directory exists
	}{
		{"killed", syscall.SIGKILL, "Ctrl-C to stop."},
		{"terminated early", syscall.SIGTERM, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := startDemo(t)
			if c.until != "" {
				d.until(t, c.until)
			} else {
				awaitChild(t, d)
			}
			code := d.end(t, c.signal)
			if c.signal == syscall.SIGTERM && code != exitDone {
				t.Errorf("exit code after SIGTERM = %d, want %d; errors:\n%s", code, exitDone, d.stderr.String())
			}
			for end := time.Now().Add(waitTimeout); ; time.Sleep(10 * time.Millisecond) {
				left := d.remains()
				if len(left) == 0 {
					return
				}
				if time.Now().After(end) {
					t.Fatalf("files or processes left after the demo has ended: %q, want none", left)
				}
			}
		})
	}
}

// awaitChild waits until the demo has created its directory: it handles signals
// by then.
func awaitChild(t *testing.T, d *running) {
	t.Helper()
	for end := time.Now().Add(waitTimeout); ; time.Sleep(time.Millisecond) {
		if found, _ := filepath.Glob(filepath.Join(d.dir, "*")); len(found) > 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("the demo has created no directory in %s; errors:\n%s", d.dir, d.stderr.String())
		}
	}
}

// TestDemoWithoutServer checks that the demo ends with an error if its server
// ends.
func TestDemoWithoutServer(t *testing.T) {
	d := startDemo(t)
	d.until(t, "Ctrl-C to stop.")
	if err := syscall.Kill(d.chatd(t), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	for d.out.Scan() {
	}
	_ = d.cmd.Wait() // the exit code shows errors
	if code := d.cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(d.stderr.String(), "ended with signal killed") {
		t.Errorf("exit code = %d, want %d; errors: %q, want \"ended with signal killed\" in them", code, exitFailed, d.stderr.String())
	}
	if left := d.remains(); len(left) > 0 {
		t.Errorf("files or processes left after the demo has ended: %q, want none", left)
	}
}

// chatd returns the process id of the demo's server.
func (d *running) chatd(t *testing.T) int {
	t.Helper()
	for _, line := range d.remains() {
		path, command, _ := strings.Cut(line, ": ")
		if strings.HasPrefix(path, "/proc/") && strings.Contains(command, "--db sqlite:"+d.dir) {
			pid, err := strconv.Atoi(strings.TrimPrefix(path, "/proc/"))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("no chatd process found in %q", d.remains())
	return 0
}

// TestUsage checks that an invalid command line is reported and starts nothing.
func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string // part of the error
	}{
		{[]string{"--speed", "0"}, "--speed: 0"},
		{[]string{"--port", "70000"}, "--port: 70000"},
		{[]string{"--http=-1"}, "--http: -1"},
		{[]string{"--chatd", "/none/chatd"}, "--chatd: stat /none/chatd"},
		{[]string{"--nonsense"}, "--nonsense"},
	} {
		var out, errs strings.Builder
		if code := run(context.Background(), c.args, &out, &errs); code != exitUsage || !strings.Contains(errs.String(), c.want) {
			t.Errorf("run(%q): exit code %d, error %q; want %d, error with %q", c.args, code, errs.String(), exitUsage, c.want)
		}
	}
}
