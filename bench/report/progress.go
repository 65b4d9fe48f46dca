package report

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// Progress is the progress line of a run on a terminal. It is safe for
// concurrent use.
type Progress struct {
	w         io.Writer // io.Discard if there is no terminal
	mu        sync.Mutex
	lastShown time.Time // last time ShowCount wrote
}

// NewProgress returns a progress line on the terminal w. io.Discard stands for
// none.
func NewProgress(w io.Writer) *Progress { return &Progress{w: w} }

// showEvery is the minimum time between two updates by ShowCount.
const showEvery = 100 * time.Millisecond

// ClearLine moves to the start of a terminal's line and clears it.
const ClearLine = "\r\x1b[K"

// Show replaces the line.
func (p *Progress) Show(format string, args ...any) {
	text := ClearLine + fmt.Sprintf(format, args...)
	p.mu.Lock()
	defer p.mu.Unlock()
	_, _ = io.WriteString(p.w, text) // if it fails, the terminal is gone
}

// ShowCount shows that n of total are done. It ignores calls that come too soon
// after the last.
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

// Clear clears the line.
func (p *Progress) Clear() { p.Show("") }
