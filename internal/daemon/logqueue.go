package daemon

import (
	"bytes"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

const (
	maxLogQueue = 1 << 20     // bytes of the log that wait to be written
	logPatience = time.Second // for writing the rest of the log at the end
)

// logQueue writes the log on a goroutine of its own. If whatever reads the log stops
// reading, a write blocks until it continues; event loops log, too, and must not wait
// for that. When maxLogQueue bytes are waiting, further lines are dropped. Lines are
// also lost if a write fails: the reader may be gone, or the disk full. The next line
// that can be written says how many were lost.
type logQueue struct {
	w      io.Writer
	notice func(lost int, err error) []byte

	mu      sync.Mutex
	waiting []byte
	dropped int // since the last notice
	total   int // lost lines
	lost    *metrics.Counter
	closing bool

	wake chan struct{} // there are bytes to write, or the queue is closing
	done chan struct{} // the goroutine has ended
}

// newLogQueue returns a queue that writes to w. notice returns a log line about lost
// lines; err says why, or is nil if too many were waiting.
func newLogQueue(w io.Writer, notice func(lost int, err error) []byte) *logQueue {
	q := &logQueue{w: w, notice: notice, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go q.run()
	return q
}

// openLog returns the logger of a server, and the queue that it writes to.
func openLog(inv *invocation, stderr io.Writer) (*slog.Logger, *logQueue) {
	q := newLogQueue(stderr, func(lost int, err error) []byte {
		var line bytes.Buffer
		log := newLogger(&line, "info", inv.LogFormat)
		if err != nil {
			log.Warn("log lines lost: writing failed", "lines", lost, "err", err)
		} else {
			log.Warn("log lines lost: nobody read the log", "lines", lost)
		}
		return line.Bytes()
	})
	inv.level = new(slog.LevelVar)
	inv.level.Set(levelOf(inv.LogLevel))
	log := newLoggerFrom(q, inv.level, inv.LogFormat)
	// Libraries write to Go's own log, for instance if metrics can't be read. Its lines
	// would have another format, and block if nobody reads stderr.
	slog.SetLogLoggerLevel(slog.LevelWarn)
	slog.SetDefault(log)
	return log, q
}

// Write queues whole lines. It never blocks or fails.
func (q *logQueue) Write(p []byte) (int, error) {
	q.mu.Lock()
	if len(q.waiting)+len(p) > maxLogQueue || q.closing {
		q.lose(bytes.Count(p, []byte("\n")))
	} else {
		q.waiting = append(q.waiting, p...)
	}
	q.mu.Unlock()
	q.signal()
	return len(p), nil
}

func (q *logQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// lose counts lost lines. Call it with q.mu locked.
func (q *logQueue) lose(lines int) {
	q.dropped += lines
	q.total += lines
	if q.lost != nil {
		q.lost.Add(lines)
	}
}

// countIn makes the queue count lost lines in c, including those up to now.
func (q *logQueue) countIn(c *metrics.Counter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lost = c
	c.Add(q.total)
}

func (q *logQueue) run() {
	defer close(q.done)
	var spare []byte
	var failed error // of the last write
	torn := false    // the last write ended within a line
	for range q.wake {
		q.mu.Lock()
		lines := q.waiting
		q.waiting = spare[:0]
		closing := q.closing
		q.mu.Unlock()
		spare = lines
		ended := 0 // line ends that aren't those of lines
		if torn && len(lines) > 0 {
			lines, ended = append([]byte("\n"), lines...), 1
		}
		if n, err := q.write(lines); err != nil {
			failed, torn = err, n > 0 && lines[n-1] != '\n' || n == 0 && torn
			q.mu.Lock()
			q.lose(bytes.Count(lines[max(n, ended):], []byte("\n")))
			q.mu.Unlock()
		} else if len(lines) > 0 {
			torn = false
		}
		// Lines were dropped after those that have just been written.
		q.mu.Lock()
		dropped := q.dropped
		q.mu.Unlock()
		if dropped > 0 {
			line := q.notice(dropped, failed)
			if torn {
				line = append([]byte("\n"), line...)
			}
			if n, err := q.write(line); err == nil {
				q.mu.Lock()
				q.dropped -= dropped
				q.mu.Unlock()
				failed, torn = nil, false
			} else {
				failed, torn = err, n > 0 || torn
			}
		}
		if cap(spare) > maxLogQueue/4 {
			spare = nil
		}
		if closing {
			return
		}
	}
}

func (q *logQueue) write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return q.w.Write(p)
}

// close writes the rest of the log. If that takes longer than patience, the rest is
// lost. Lines that are written later are lost, too.
func (q *logQueue) close(patience time.Duration) {
	q.mu.Lock()
	q.closing = true
	q.mu.Unlock()
	q.signal()
	select {
	case <-q.done:
	case <-time.After(patience):
	}
}
