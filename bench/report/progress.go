package report

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress is the one line that tells how far the run is. Any goroutine may
// write it.
type Progress struct {
	w         io.Writer // io.Discard where nobody looks
	mu        sync.Mutex
	lastShown time.Time // when count has last written
}

// NewProgress returns a line on w, a terminal; io.Discard for none.
func NewProgress(w io.Writer) *Progress { return &Progress{w: w} }

// showEvery is the least time between two lines of ShowCount.
const showEvery = 100 * time.Millisecond

// ClearLine goes to the line's start and empties it.
const ClearLine = "\r\x1b[K"

// Show replaces what the line says.
func (p *Progress) Show(format string, args ...any) {
	text := ClearLine + fmt.Sprintf(format, args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.w, text) // a terminal that is gone
}

// ShowCount says that n of total are done, not more than ten times a second.
func (p *Progress) ShowCount(what string, n, total int) {
	p.mu.Lock()
	now := time.Now()
	early := now.Sub(p.lastShown) < showEvery
	if !early {
		p.lastShown = now
	}
	p.mu.Unlock()
	if !early {
		p.Show("%s: %d of %d", what, n, total)
	}
}

// Clear makes room for what comes after the run.
func (p *Progress) Clear() { p.Show("") }
