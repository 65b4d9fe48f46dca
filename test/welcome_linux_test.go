package test

import (
	"bufio"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal. What a process writes to user can be read from
// here.
func terminal(t *testing.T) (here, user *os.File) {
	t.Helper()
	here, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { here.Close() })
	if err := unix.IoctlSetPointerInt(int(here.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(here.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	user, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { user.Close() })
	return here, user
}

// TestFirstStartAtATerminal checks what chatd prints in a terminal at the first start
// with only an address: how to connect with a browser and a terminal client, with
// addresses that work, and no warnings or errors.
func TestFirstStartAtATerminal(t *testing.T) {
	here, user := terminal(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "127.0.0.1", "0", "--http", "127.0.0.1:0")
	cmd.Dir, cmd.Stderr = t.TempDir(), user
	cmd.Env = chatdEnv()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	user.Close()

	var said []string
	lines := bufio.NewScanner(here)
	until := func(pattern string) string {
		t.Helper()
		re := regexp.MustCompile(pattern)
		for lines.Scan() {
			said = append(said, lines.Text())
			if m := re.FindStringSubmatch(lines.Text()); m != nil {
				return m[1]
			}
		}
		t.Fatalf("no line matches %q; chatd printed\n%s", pattern, strings.Join(said, "\n"))
		return ""
	}
	addr := until(`chatd is listening on (\S+)\. Database: sqlite:data/chatd\.db`)
	page := until(`In a browser +(http://\S+/)`)
	if got := until(`In a terminal +\S+/chat (.*?)\r?$`); got != strings.Replace(addr, ":", " ", 1) {
		t.Errorf("the printed command connects to %q, but the server listens on %s", got, addr)
	}
	resp, err := http.Get(page + "healthz")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	until(`(Ctrl-C)`)
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() { // until chatd has closed the terminal
		said = append(said, lines.Text())
	}
	_ = cmd.Wait() // the exit code shows errors
	if code, all := cmd.ProcessState.ExitCode(), strings.Join(said, "\n"); code != exitDone || strings.Contains(all, "WARN") || strings.Contains(all, "ERROR") || strings.Contains(all, "msg=\"web client") {
		t.Errorf("exit code %d, want %d and no WARN, ERROR or log line about browsers; chatd printed\n%s", code, exitDone, all)
	}
}
