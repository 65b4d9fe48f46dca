package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress is the one line that tells how far the run is. Any goroutine may
// write it.
type progress struct {
	w  io.Writer // io.Discard where nobody looks
	mu sync.Mutex
	at time.Time // when count has last written
}

// newProgress returns a line on w, a terminal; io.Discard for none.
func newProgress(w io.Writer) *progress { return &progress{w: w} }

// clearLine goes to the line's start and empties it.
const clearLine = "\r\x1b[K"

// line replaces what the line says.
func (p *progress) line(format string, args ...any) {
	text := clearLine + fmt.Sprintf(format, args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.w, text) // a terminal that is gone
}

// count says that n of total are done, not more than ten times a second.
func (p *progress) count(what string, n, total int) {
	p.mu.Lock()
	now := time.Now()
	early := now.Sub(p.at) < tickEvery/10
	if !early {
		p.at = now
	}
	p.mu.Unlock()
	if !early {
		p.line("%s: %d of %d", what, n, total)
	}
}

// clear makes room for what comes after the run.
func (p *progress) clear() { p.line("") }
