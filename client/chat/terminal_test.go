package main

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/term"
)

// waitFor limits how long a test waits for a screen. Only failing tests wait
// that long.
const waitFor = 60 * time.Second

var update = flag.Bool("update", false, "rewrite the golden files in testdata")

// terminal is a chat process on a pseudo-terminal with a terminal emulator.
type terminal struct {
	t        *testing.T
	cmd      *exec.Cmd
	pty, tty *os.File
	before   *term.State // the terminal's settings before chat started
	began    time.Time
	pumps    sync.WaitGroup

	mu      sync.Mutex
	em      *vt.Emulator
	raw     bytes.Buffer       // everything that chat has written
	modes   map[ansi.Mode]bool // modes that chat turned on or off
	changed chan struct{}      // buffer of 1
}

// terminal runs chat on a terminal of w columns and h rows.
func (n *node) terminal(w, h int, args ...string) *terminal {
	n.t.Helper()
	return newTerminal(n.t, vt.NewEmulator(w, h), nil, append([]string{n.host, n.port}, args...)...)
}

// as runs chat and logs in as a registered user.
func (n *node) as(name string, w, h int, args ...string) *terminal {
	n.t.Helper()
	x := n.terminal(w, h, append([]string{"--name", name, "--password", "secret-1"}, args...)...)
	x.see("● online  " + name)
	return x
}

// newTerminal runs chat with these arguments. env is added to the environment.
func newTerminal(t *testing.T, em *vt.Emulator, env []string, args ...string) *terminal {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, em: em, modes: make(map[ansi.Mode]bool), changed: make(chan struct{}, 1), began: time.Now()}
	x.em.SetCallbacks(vt.Callbacks{
		EnableMode:  func(m ansi.Mode) { x.modes[m] = true },
		DisableMode: func(m ansi.Mode) { x.modes[m] = false },
	})
	if x.pty, x.tty, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	x.size(em.Width(), em.Height())
	if x.before, err = term.GetState(int(x.tty.Fd())); err != nil {
		t.Fatal(err)
	}
	x.cmd = exec.Command(self, args...)
	// Don't inherit the environment of the terminal that the tests run in.
	x.cmd.Env = append([]string{beChat + "=1", "TERM=xterm-256color", "COLORTERM=truecolor", "PATH=" + os.Getenv("PATH"),
		"HOME=" + t.TempDir(), "GORACE=" + os.Getenv("GORACE")}, env...)
	x.cmd.Stdin, x.cmd.Stdout, x.cmd.Stderr = x.tty, x.tty, x.tty
	ownTerminal(x.cmd)
	if err := x.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	x.pumps.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, err := x.pty.Read(buf)
			x.mu.Lock()
			_, _ = x.em.Write(buf[:n])
			x.raw.Write(buf[:n])
			x.mu.Unlock()
			select {
			case x.changed <- struct{}{}:
			default:
			}
			if err != nil {
				_ = x.em.InputPipe().(io.Closer).Close()
				return
			}
		}
	})
	x.pumps.Go(func() { _, _ = io.Copy(x.pty, x.em) }) // the emulator's answers to terminal queries
	t.Cleanup(func() {
		if x.cmd.ProcessState == nil {
			_ = x.cmd.Process.Kill()
			x.exit()
		}
		_ = x.pty.Close()
	})
	return x
}

func (x *terminal) size(w, h int) {
	x.t.Helper()
	if err := pty.Setsize(x.pty, &pty.Winsize{Cols: uint16(w), Rows: uint16(h)}); err != nil {
		x.t.Fatal(err)
	}
}

// resize changes the window size.
func (x *terminal) resize(w, h int) {
	x.t.Helper()
	x.mu.Lock()
	x.em.Resize(w, h)
	x.mu.Unlock()
	x.size(w, h)
}

// exit waits for the process and returns its exit code.
func (x *terminal) exit() int {
	_ = x.cmd.Wait() // the caller checks the exit code
	_ = x.tty.Close()
	x.pumps.Wait()
	return x.cmd.ProcessState.ExitCode()
}

// keys types keys.
func (x *terminal) keys(all ...string) {
	x.t.Helper()
	for _, s := range all {
		if _, err := x.pty.WriteString(s); err != nil {
			x.t.Fatal(err)
		}
	}
}

// Key sequences.
const (
	enter = "\r"
	tab   = "\t"
	esc   = "\x1b"
	up    = "\x1b[A"
	down  = "\x1b[B"
	pgUp  = "\x1b[5~"
	ctrlC = "\x03"
	ctrlF = "\x06"
	ctrlJ = "\n"
	ctrlN = "\x0e"
	ctrlU = "\x15"
	f1    = "\x1bOP"
	altUp = "\x1b[1;3A"
)

// line types a line and Enter.
func (x *terminal) line(s string) { x.t.Helper(); x.keys(s, enter) }

// screen returns the screen without trailing spaces.
func (x *terminal) screen() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var b strings.Builder
	for y := range x.em.Height() {
		var row strings.Builder
		for at := 0; at < x.em.Width(); {
			c := x.em.CellAt(at, y)
			if c == nil || c.Width < 1 {
				row.WriteByte(' ')
				at++
				continue
			}
			row.WriteString(c.Content)
			at += c.Width
		}
		b.WriteString(strings.TrimRight(row.String(), " ") + "\n")
	}
	return b.String()
}

// until waits until ok returns true for the screen, and returns the screen.
// what says in the failure message what was expected.
func (x *terminal) until(what string, ok func(screen string) bool) string {
	x.t.Helper()
	deadline := time.NewTimer(waitFor)
	defer deadline.Stop()
	for {
		s := x.screen()
		if ok(s) {
			return s
		}
		select {
		case <-x.changed:
		case <-deadline.C:
			x.t.Fatalf("waited %v for %s; the screen is\n%s", waitFor, what, s)
		}
	}
}

// wait waits until the screen changes, but at most d.
func (x *terminal) wait(d time.Duration) {
	select {
	case <-x.changed:
	case <-time.After(d):
	}
}

// see waits until the screen contains all parts.
func (x *terminal) see(parts ...string) string {
	x.t.Helper()
	return x.until(fmt.Sprintf("a screen with %q", parts), func(s string) bool {
		for _, p := range parts {
			if !strings.Contains(s, p) {
				return false
			}
		}
		return true
	})
}

// miss waits until the screen contains none of the parts.
func (x *terminal) miss(parts ...string) {
	x.t.Helper()
	x.until(fmt.Sprintf("a screen without %q", parts), func(s string) bool {
		for _, p := range parts {
			if strings.Contains(s, p) {
				return false
			}
		}
		return true
	})
}

var (
	sideTime = regexp.MustCompile(`(\s{4})\d\d:\d\d`)
	anyTime  = regexp.MustCompile(`\d\d:\d\d`)
	anyPort  = regexp.MustCompile(`(127\.0\.0\.1:)\d+`) // a narrow window cuts it
)

// timeless replaces what differs between runs: times and the port. A time to
// the right of a message is removed: it is shown only if a minute has passed.
func timeless(s string) string {
	s = anyPort.ReplaceAllStringFunc(s, func(addr string) string {
		host, port, _ := strings.Cut(addr, ":")
		return host + ":" + strings.Repeat("0", len(port))
	})
	s = sideTime.ReplaceAllString(s, "$1     ")
	s = anyTime.ReplaceAllString(s, "00:00")
	var b strings.Builder
	for row := range strings.Lines(s) {
		b.WriteString(strings.TrimRight(row, " \n") + "\n")
	}
	return b.String()
}

// picture waits until the screen equals the golden file.
func (x *terminal) picture(name string) {
	x.t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(path, []byte(timeless(x.still())), 0o644); err != nil {
			x.t.Fatal(err)
		}
		return
	}
	b, err := os.ReadFile(path)
	if err != nil {
		x.t.Fatal(err)
	}
	deadline := time.NewTimer(waitFor)
	defer deadline.Stop()
	for {
		s := timeless(x.screen())
		if s == string(b) {
			return
		}
		select {
		case <-x.changed:
		case <-deadline.C:
			if now := time.Now(); now.YearDay() != x.began.YearDay() {
				x.t.Skip("the date changed during the test, so the screen shows two dates")
			}
			x.t.Fatalf("the screen differs from %s\ngot:\n%s\nwant:\n%s", path, s, b)
		}
	}
}

// still waits until the screen stops changing and returns it.
func (x *terminal) still() string {
	for {
		select {
		case <-x.changed:
		case <-time.After(time.Second):
			return x.screen()
		}
	}
}

// restored checks that the terminal is as it was before chat started.
func (x *terminal) restored() {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.em.IsAltScreen() {
		x.t.Error("the terminal still shows the alternate screen")
	}
	if x.em.CursorHidden() {
		x.t.Error("the cursor is still hidden")
	}
	for m, on := range x.modes {
		switch m {
		case ansi.ModeAutoWrap, ansi.ModeTextCursorEnable:
		default:
			if on {
				x.t.Errorf("terminal mode %v is still on", m)
			}
		}
	}
	after, err := term.GetState(int(x.pty.Fd()))
	if err != nil {
		x.t.Fatal(err)
	}
	if !reflect.DeepEqual(x.before, after) {
		x.t.Errorf("terminal settings are %+v, want those before the start: %+v", after, x.before)
	}
}

// colors returns the colors on the screen, as #rrggbb.
func (x *terminal) colors() map[string]bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := make(map[string]bool)
	for y := range x.em.Height() {
		for at := range x.em.Width() {
			if c := x.em.CellAt(at, y); c != nil {
				all[hex(c.Style.Fg)], all[hex(c.Style.Bg)] = true, true
			}
		}
	}
	delete(all, "")
	return all
}

// click and wheelUp return what a terminal sends for a mouse event at column x
// and row y, counted from 0.
func click(x, y int) string   { return fmt.Sprintf("\x1b[<0;%d;%dM\x1b[<0;%d;%dm", x+1, y+1, x+1, y+1) }
func wheelUp(x, y int) string { return fmt.Sprintf("\x1b[<64;%d;%dM", x+1, y+1) }
