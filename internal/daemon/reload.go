package daemon

import (
	"errors"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// live changes settings while the server runs, on SIGHUP. Its methods may be called
// from any goroutine.
type live struct {
	args  []string
	queue *logQueue
	level *slog.LevelVar
	gone  func() bool // the terminal that the server was started from is closed; nil: there was none

	mu     sync.Mutex
	values map[string]string // in effect, by the settings' names
	apply  map[string]func(c *Config)
	reopen []func() error
}

func newLive(inv *invocation, args []string, queue *logQueue) *live {
	l := &live{args: args, queue: queue, level: inv.level, values: inv.values, apply: make(map[string]func(c *Config))}
	l.on("log-level", func(c *Config) { l.level.Set(levelOf(c.LogLevel)) })
	return l
}

// on says how to change a setting of the running server. apply must not block. It
// gets the new settings. l may be nil.
func (l *live) on(name string, apply func(c *Config)) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.apply[name] = apply
}

// onReopen adds a function that opens a file again, because it may have been renamed.
// l may be nil.
func (l *live) onReopen(f func() error) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.reopen = append(l.reopen, f)
}

// hungUp reports whether the terminal that the server was started from is closed.
func (l *live) hungUp() bool { return l != nil && l.gone != nil && l.gone() }

// reload reads the settings again and changes those that can be changed. If one is
// invalid, none is changed. It logs what it did.
func (l *live) reload(log *slog.Logger) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.reopen {
		if err := f(); err != nil {
			log.Error("file not opened again", "err", err)
		}
	}
	inv, err := parse(l.args, io.Discard)
	if err == nil && inv.Command != "serve" {
		err = errors.New("the command line is no longer that of a server") // can't happen: the arguments are the same
	}
	if err != nil {
		log.Error("settings not reloaded: the old ones stay in effect", "err", err)
		return
	}
	var changed, later []string
	for name, value := range inv.values {
		if value == l.values[name] {
			continue
		}
		if apply := l.apply[name]; apply != nil {
			apply(&inv.Config)
			l.values[name] = value
			changed = append(changed, name)
		} else {
			later = append(later, name)
		}
	}
	slices.Sort(changed)
	slices.Sort(later)
	log.Info("settings reloaded", "changed", changed)
	if len(later) > 0 {
		log.Warn("these settings have changed, and need a restart of chatd", "settings", later)
	}
}
