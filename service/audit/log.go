package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/internal/limit"
)

const (
	queueLines = 8192     // lines that wait to be written; more are dropped and counted
	maxBatch   = 64 << 10 // bytes in one write

	// Refused requests of an address that get a line, per second. Before login, an
	// address may have thousands of requests refused per second, each with half a
	// kilobyte of text that it chooses.
	refusedLines = 10
	refusedBurst = 10 * time.Second // how many seconds' worth at once
	maxAddrs     = 1 << 16

	// Changes of groups by a user that get a line, per second. A user may make dozens
	// per second, for example by joining and leaving a group all day.
	changeLines = 1
	changeBurst = 100 * time.Second
	maxUsers    = 1 << 16

	closeTimeout = 2 * time.Second
)

// Log is the audit log. Add may be called from any goroutine and doesn't block: a
// goroutine writes the lines. All methods of a nil Log do nothing.
type Log struct {
	path     string // "": out isn't a file of its own
	counters *Counters
	dropped  *metrics.Counter
	skipped  *metrics.Counter
	refused  *limit.Table[netip.Addr] // by limit.Source: lines about refused requests
	changes  *limit.Table[int64]      // by user: lines about changes of groups
	log      *slog.Logger
	handler  slog.Handler

	lines  chan []byte
	lost   atomic.Int64 // lines dropped and not reported in the log yet
	ended  chan struct{}
	closed atomic.Bool
	adding sync.RWMutex // held for reading while a line is queued, and for writing to close lines

	mu  sync.Mutex // of out
	out io.Writer
}

// Options are what a Log needs.
type Options struct {
	// File is the path of the log. The log is appended to it. Empty: Out.
	File string
	Out  io.Writer
	// Handler returns the handler that formats the lines and writes them to w, with
	// one Write per line.
	Handler func(w io.Writer, o *slog.HandlerOptions) slog.Handler
	Set     *metrics.Set // has the counters
	Logger  *slog.Logger // where errors of the audit log are reported
}

// Open opens the audit log. It returns an error if the file can't be opened.
func Open(o Options) (*Log, error) {
	l := &Log{path: o.File, out: o.Out, log: o.Logger, counters: NewCounters(o.Set), dropped: o.Set.GetOrCreateCounter("chatd_audit_dropped_total"),
		skipped: o.Set.GetOrCreateCounter("chatd_audit_skipped_total"), refused: limit.NewTable[netip.Addr](limit.PerSecond(refusedLines, refusedBurst, time.Now()), maxAddrs, nil),
		changes: limit.NewTable[int64](limit.PerSecond(changeLines, changeBurst, time.Now()), maxUsers, nil),
		lines:   make(chan []byte, queueLines), ended: make(chan struct{})}
	if l.path != "" {
		f, err := openFile(l.path)
		if err != nil {
			return nil, err
		}
		l.out = f
	}
	if l.out != nil {
		l.handler = o.Handler(queue{l}, &slog.HandlerOptions{ReplaceAttr: replace})
	}
	go l.write()
	return l, nil
}

// openFile opens the log's file. It doesn't block: without O_NONBLOCK, opening a named
// pipe would wait for its reader.
func openFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o640)
	if errors.Is(err, syscall.ENXIO) {
		return nil, fmt.Errorf("open the audit log: %s is a pipe, and nobody reads it: start its reader first: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	return f, nil
}

// replace removes the level, calls the message "action", and gives the time the same
// precision in all formats.
func replace(groups []string, a slog.Attr) slog.Attr {
	switch {
	case len(groups) > 0:
	case a.Key == slog.TimeKey:
		a.Value = slog.StringValue(a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z07:00"))
	case a.Key == slog.LevelKey:
		return slog.Attr{}
	case a.Key == slog.MessageKey:
		a.Key = "action"
	}
	return a
}

// Add counts an event and queues its line. If the queue is full, the line is
// dropped, counted, and reported in the other log. Lines about refused requests have
// a limit per address, and those about changes of groups one per user; beyond it they are
// skipped and counted. All others are never skipped. It doesn't block.
func (l *Log) Add(e Event) {
	if l == nil {
		return
	}
	l.counters[e.Action][e.Outcome].Inc()
	if l.handler == nil {
		return
	}
	now := time.Now()
	var wait time.Duration
	switch {
	case e.Outcome == Refused && e.Addr.IsValid():
		wait = l.refused.Take(limit.Source(e.Addr), now, 1)
	case e.Outcome != Refused && e.Action.ofGroup():
		wait = l.changes.Take(e.User, now, 1)
	}
	if wait > 0 {
		l.skipped.Inc()
		return
	}
	_ = l.handler.Handle(context.Background(), e.record(now)) // queue.Write returns no errors
}

// record returns the event as a line. What clients choose comes last, so that a
// pattern for the beginning of a line can't match it.
func (e *Event) record(now time.Time) slog.Record {
	r := slog.NewRecord(now, slog.LevelInfo, e.Action.String(), 0)
	r.AddAttrs(slog.String("outcome", e.Outcome.String()))
	text := func(key, v string) {
		if v != "" {
			r.AddAttrs(slog.String(key, v))
		}
	}
	number := func(key string, v int64) {
		if v != 0 {
			r.AddAttrs(slog.Int64(key, v))
		}
	}
	text("reason", e.Reason)
	if e.Addr.IsValid() {
		r.AddAttrs(slog.String("addr", e.Addr.Unmap().WithZone("").String()))
	}
	number("user", e.User)
	text("method", e.Method)
	number("group", e.Group)
	number("target", e.Target)
	text("detail", e.Detail)
	text("name", e.Name)
	text("device", e.Device)
	return r
}

// queue is the writer of Log.handler. Write queues a line.
type queue struct{ l *Log }

func (q queue) Write(line []byte) (int, error) {
	l := q.l
	l.adding.RLock()
	defer l.adding.RUnlock()
	if l.closed.Load() {
		return len(line), nil
	}
	select {
	case l.lines <- append([]byte(nil), line...):
	default:
		l.lost.Add(1)
		l.dropped.Inc()
	}
	return len(line), nil
}

// write writes the queued lines until the log is closed.
func (l *Log) write() {
	defer close(l.ended)
	lost := 0     // lines since a write failed
	torn := false // the file ends within a line
	for line := range l.lines {
		batch := line
		for len(batch) < maxBatch && len(l.lines) > 0 {
			batch = append(batch, <-l.lines...)
		}
		if n := l.lost.Swap(0); n > 0 {
			l.log.Error("audit log too slow: lines dropped", "lines", n)
		}
		ended := 0 // line ends that aren't those of lines
		if torn {
			batch, ended = append([]byte("\n"), batch...), 1
		}
		l.mu.Lock()
		n, err := l.out.Write(batch)
		l.mu.Unlock()
		if err != nil {
			if lost == 0 { // not once per line: the disk may be full
				l.log.Error("writing the audit log failed; its lines are lost until that is repaired", "err", err)
			}
			missing := bytes.Count(batch[max(n, ended):], []byte("\n"))
			lost += missing
			l.dropped.Add(missing)
			torn = n > 0 && batch[n-1] != '\n' || n == 0 && torn
			continue
		}
		torn = false
		if lost > 0 {
			l.log.Warn("the audit log can be written again", "lines_lost", lost)
			lost = 0
		}
	}
}

// Reopen opens the log's file again, after it was renamed. It does nothing if the
// log isn't a file or is closed. After an error, the log continues in the old file. It blocks
// for a write.
func (l *Log) Reopen() error {
	if l == nil || l.path == "" {
		return nil
	}
	f, err := openFile(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed.Load() { // write may still need the old file
		return f.Close()
	}
	old := l.out
	l.out = f
	return old.(io.Closer).Close()
}

// Close writes the queued lines and closes the log's file. It blocks for that, for
// up to closeTimeout.
func (l *Log) Close() error {
	if l == nil || l.closed.Swap(true) {
		return nil
	}
	l.adding.Lock()
	close(l.lines)
	l.adding.Unlock()
	select {
	case <-l.ended:
	case <-time.After(closeTimeout):
		return fmt.Errorf("close the audit log: its reader is stalled; %d lines are lost", len(l.lines))
	}
	if l.path == "" {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.(io.Closer).Close()
}
