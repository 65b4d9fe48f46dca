package audit

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/VictoriaMetrics/metrics"
)

func text(w io.Writer, o *slog.HandlerOptions) slog.Handler { return slog.NewTextHandler(w, o) }

func open(t *testing.T, o Options) *Log {
	t.Helper()
	o.Handler, o.Set, o.Logger = text, metrics.NewSet(), slog.New(slog.DiscardHandler)
	l, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// An event is one line, whatever clients choose, and what they choose comes last.
func TestLines(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Out: &out})
	l.Add(Event{Action: Login, Outcome: Refused, Reason: "wrong_password", Addr: netip.MustParseAddr("::ffff:192.0.2.1"), Method: "password",
		Name: "x\ntime=now action=login outcome=refused reason=wrong_password addr=192.0.2.9 \x1b[2J", Device: `"phone" addr=192.0.2.9`})
	l.Add(Event{Action: KickMember, User: 7, Group: 3, Target: 9})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	want := []string{
		`action=login outcome=refused reason=wrong_password addr=192.0.2.1 method=password name="x\ntime=now action=login outcome=refused reason=wrong_password addr=192.0.2.9 \x1b[2J" device="\"phone\" addr=192.0.2.9"`,
		`action=kick_member outcome=ok user=7 group=3 target=9`,
	}
	if len(lines) != len(want) {
		t.Fatalf("the log has %d lines, want %d:\n%s", len(lines), len(want), out.String())
	}
	for i, line := range lines {
		if _, rest, _ := strings.Cut(line, " "); rest != want[i] || !strings.HasPrefix(line, "time=20") {
			t.Errorf("line %d is\n%s\nwant the time, and\n%s", i, line, want[i])
		}
	}
	if n := l.counters[Login][Refused].Get(); n != 1 {
		t.Errorf("refused logins counted %d times, want once", n)
	}
}

// After Reopen, lines go to a new file, and none is lost.
func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "audit.log")
	l := open(t, Options{File: path})
	count := 0
	add := func() {
		for range 100 {
			count++
			l.Add(Event{Action: Logout, User: int64(count)})
		}
	}
	add()
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	add()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l.Add(Event{Action: Logout}) // does nothing
	old, err := os.ReadFile(path + ".1")
	if err != nil {
		t.Fatal(err)
	}
	young, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(strings.TrimSpace(string(old)+string(young)), "\n") {
		if !strings.HasSuffix(line, fmt.Sprintf(" user=%d", i+1)) {
			t.Fatalf("line %d is %s, want that of user %d", i, line, i+1)
		}
	}
	if !strings.Contains(string(young), " user=200\n") {
		t.Errorf("the new file is %q, want it to have the last line", young)
	}
}

// stalled is a writer that blocks until it is closed.
type stalled chan struct{}

func (s stalled) Write(p []byte) (int, error) {
	<-s
	return len(p), nil
}

// A reader that stalls delays nobody: lines beyond the queue are dropped and counted.
func TestStalledReader(t *testing.T) {
	out := make(stalled)
	l := open(t, Options{Out: out})
	for range 3 * queueLines {
		l.Add(Event{Action: Login})
	}
	if n := l.dropped.Get(); n == 0 || n > 2*queueLines {
		t.Errorf("%d lines dropped, want 1 to %d", n, 2*queueLines)
	}
	if n := l.counters[Login][OK].Get(); n != 3*queueLines {
		t.Errorf("%d events counted, want %d", n, 3*queueLines)
	}
	close(out)
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

// fullDisk is a writer that has room for a number of bytes.
type fullDisk struct {
	bytes.Buffer
	room int
}

func (d *fullDisk) Write(p []byte) (int, error) {
	if len(p) > d.room {
		n, _ := d.Buffer.Write(p[:d.room])
		d.room = 0
		return n, syscall.ENOSPC
	}
	d.room -= len(p)
	return d.Buffer.Write(p)
}

// If the disk is full, each line that is missing is counted, and the log says when it
// can be written again, and how many lines are missing. The first line after that isn't
// glued to one that was cut: fail2ban would miss it.
func TestFullDisk(t *testing.T) {
	disk := &fullDisk{room: 100}
	var log bytes.Buffer
	l, err := Open(Options{Out: io.Discard, Handler: text, Set: metrics.NewSet(), Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	l.mu.Lock() // the goroutine that writes waits, so that the lines are one batch
	l.out = disk
	for i := range 10 {
		l.Add(Event{Action: Logout, User: int64(1 + i)})
	}
	l.mu.Unlock()
	for len(l.lines) > 0 || l.dropped.Get() == 0 {
		runtime.Gosched()
	}
	l.mu.Lock()
	disk.room = 1 << 20
	l.mu.Unlock()
	l.Add(Event{Action: Logout, User: 11})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var whole, other int
	for line := range strings.Lines(disk.String()) {
		if strings.HasPrefix(line, "time=") && strings.Count(line, "time=") == 1 && strings.Contains(line, " user=") && strings.HasSuffix(line, "\n") {
			whole++
		} else {
			other++
		}
	}
	if n := int(l.dropped.Get()); whole+n != 11 || other > 1 {
		t.Errorf("of 11 lines, %d are whole and %d counted as missing, and there are %d others; want 11 together, and at most one other, which was cut:\n%s", whole, n, other, disk.String())
	}
	if !strings.HasSuffix(disk.String(), "action=logout outcome=ok user=11\n") {
		t.Errorf("the log ends with %q, want the line that was added when there was room", disk.String())
	}
	if want := fmt.Sprintf("the audit log can be written again\" lines_lost=%d", l.dropped.Get()); !strings.Contains(log.String(), want) {
		t.Errorf("the other log is\n%s\nwant it to contain %s", log.String(), want)
	}
}

// An address can't fill the disk with refused requests. They are still counted. Nobody
// else's lines are missing, nor are those about what succeeds.
func TestRefusedLinesHaveALimit(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Out: &out})
	flood := Event{Action: Register, Outcome: Refused, Reason: "bad_request", Addr: netip.MustParseAddr("2001:db8::1"), Name: strings.Repeat("x", 50)}
	const events = 5000
	for i := range events {
		flood.Addr = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(i)}) // of one /64
		l.Add(flood)
	}
	l.Add(Event{Action: Login, Outcome: OK, Addr: flood.Addr, Name: "owner"})
	l.Add(Event{Action: Login, Outcome: Refused, Addr: netip.MustParseAddr("192.0.2.1"), Name: "other"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(out.String(), "action=register")
	if lines == 0 || lines > events/2 {
		t.Errorf("%d of %d refused requests from a /64 have a line, want some, and at most half of them", lines, events)
	}
	if n := l.skipped.Get(); n != uint64(events-lines) {
		t.Errorf("%d lines are counted as skipped, want %d", n, events-lines)
	}
	if n := l.counters[Register][Refused].Get(); n != events {
		t.Errorf("%d requests are counted, want %d", n, events)
	}
	for _, name := range []string{"owner", "other"} {
		if !strings.Contains(out.String(), "name="+name) {
			t.Errorf("the line of %s is missing", name)
		}
	}
}

// A user can't fill the disk with changes of groups that succeed. They are still counted.
// Other users' lines aren't missing, nor are the user's about anything else.
func TestChangesOfGroupsHaveALimit(t *testing.T) {
	var out bytes.Buffer
	l := open(t, Options{Out: &out})
	const events = 5000
	for i := range events {
		l.Add(Event{Action: JoinGroup + Action(i%2), User: 7, Group: 3}) // or LeaveGroup
	}
	never := []Action{Register, Login, Lockout, NewDevice, DeviceEvicted, Logout, Password, Ban, Unban, Delete, SetPassword}
	for _, a := range never {
		for range 200 { // more than the limit
			l.Add(Event{Action: a, User: 7})
		}
	}
	l.Add(Event{Action: JoinGroup, User: 8, Group: 3})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Count(out.String(), "user=7 group=3\n")
	if lines == 0 || lines > events/2 {
		t.Errorf("%d of %d changes of groups by a user have a line, want some, and at most half of them", lines, events)
	}
	if n := l.skipped.Get(); n != uint64(events-lines) {
		t.Errorf("%d lines are counted as skipped, want %d", n, events-lines)
	}
	if n := l.counters[JoinGroup][OK].Get() + l.counters[LeaveGroup][OK].Get(); n != events+1 {
		t.Errorf("%d changes are counted, want %d", n, events+1)
	}
	for _, a := range never {
		if n := strings.Count(out.String(), "action="+a.String()+" "); n != 200 {
			t.Errorf("%d of 200 lines with action %s are in the log, want all", n, a)
		}
	}
	if !strings.Contains(out.String(), "user=8") {
		t.Error("the line of another user is missing")
	}
}
