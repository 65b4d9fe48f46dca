package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// pipe is a reader of a log that can stop reading, and a disk that can be full.
type pipe struct {
	mu      sync.Mutex
	text    bytes.Buffer
	err     error
	torn    int           // bytes that are written before err
	blocked chan struct{} // if not nil, writes block until it is closed
	entered chan struct{} // a write has begun
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	blocked := p.blocked
	p.mu.Unlock()
	if blocked != nil {
		p.entered <- struct{}{}
		<-blocked
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.err != nil {
		n, _ := p.text.Write(b[:min(p.torn, len(b))])
		return n, p.err
	}
	return p.text.Write(b)
}

func (p *pipe) set(err error, torn int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.err, p.torn = err, torn
}

func (p *pipe) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.text.String()
}

// While nobody reads the log, logging doesn't block and takes a bounded amount of
// memory. When it is read again, all lines are complete and in order, and one says
// how many are missing.
func TestLogIsNotRead(t *testing.T) {
	p := &pipe{blocked: make(chan struct{}), entered: make(chan struct{}, 10)}
	inv := &invocation{Config: Config{LogLevel: "info", LogFormat: "text"}}
	log, q := openLog(inv, p)
	lost := new(metrics.Counter)
	q.countIn(lost)
	log.Info("first")
	<-p.entered
	const lines = 100_000
	long := strings.Repeat("x", 100)
	for i := range lines {
		log.Info("line", "n", i, "long", long) // a write that blocked would hang the test
	}
	q.mu.Lock()
	waiting := len(q.waiting)
	q.mu.Unlock()
	if waiting > maxLogQueue {
		t.Errorf("%d bytes are waiting, want at most %d", waiting, maxLogQueue)
	}
	p.mu.Lock()
	close(p.blocked)
	p.blocked = nil
	p.mu.Unlock()
	log.Info("last")
	q.close(time.Minute)
	next, dropped := 0, 0
	for line := range strings.Lines(p.String()) {
		var n int
		if _, after, ok := strings.Cut(line, "msg=line n="); ok {
			if _, err := fmt.Sscan(after, &n); err != nil || n != next || !strings.HasSuffix(line, long+"\n") {
				t.Fatalf("line %q, want line %d, complete", line, next)
			}
			next++
		}
		if _, after, ok := strings.Cut(line, `msg="log lines lost: nobody read the log" lines=`); ok {
			if _, err := fmt.Sscan(after, &n); err != nil {
				t.Fatal(err)
			}
			dropped += n
		}
	}
	// The last line may be among those that were dropped.
	if all := next + dropped; all != lines && all != lines+1 || dropped == 0 || lost.Get() != uint64(dropped) {
		t.Errorf("%d lines were written and %d reported as lost (metric: %d), want %d together", next, dropped, lost.Get(), lines)
	}
}

// If writing fails, the process goes on. When it works again, the log says how many
// lines are missing and why, and no line is joined with half of another.
func TestLogCannotBeWritten(t *testing.T) {
	p := &pipe{}
	full := errors.New("no space left on device")
	log, q := openLog(&invocation{Config: Config{LogLevel: "info", LogFormat: "json"}}, p)
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: not after a minute; the log is\n%s", what, p)
			}
		}
	}
	lost := func(n int) func() bool {
		return func() bool {
			q.mu.Lock()
			defer q.mu.Unlock()
			return q.total == n
		}
	}
	log.Info("one")
	until("the first line is written", func() bool { return strings.Contains(p.String(), "one") })
	p.set(full, 10)
	log.Info("two")
	until("one line is lost", lost(1))
	p.set(full, 0)
	log.Info("three")
	until("two lines are lost", lost(2))
	p.set(nil, 0)
	log.Info("four")
	q.close(time.Minute)
	text := p.String()
	for _, want := range []string{`"msg":"one"}`, `"msg":"four"}`, `"msg":"log lines lost: writing failed","lines":2,"err":"no space left on device"}`} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the log has no line that ends with %s; it is\n%s", want, text)
		}
	}
	whole := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "{") && strings.HasSuffix(line, "}\n") {
			whole++
		}
	}
	if whole != 3 {
		t.Errorf("%d whole lines, want 3:\n%s", whole, text)
	}
}

// The end of the process doesn't wait for a log that nobody reads.
func TestLogEnds(t *testing.T) {
	p := &pipe{blocked: make(chan struct{}), entered: make(chan struct{}, 10)}
	q := newLogQueue(p, func(int, error) []byte { return nil })
	defer close(p.blocked)
	slog.New(slog.NewTextHandler(q, nil)).Info("stuck")
	<-p.entered
	q.close(time.Millisecond) // a close that waited would hang the test
	if n, err := q.Write([]byte("late\n")); n != 5 || err != nil {
		t.Errorf("Write after close = %d, %v; want 5, nil", n, err)
	}
}
