package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/chzyer/readline"

	"chatd/client/chat/text"
)

const (
	maxLine      = 256 << 10 // bytes of one line of piped input
	maxHistory   = 500       // lines of input that are remembered
	historyName  = "history"
	stateDirName = "chatd"
)

// errInterrupt is Ctrl-C on a line that has nothing in it.
var errInterrupt = errors.New("interrupted")

// screen is where lines are read and written: a terminal, with a line
// being typed at its bottom, or pipes. All that is printed goes through
// text.Clean. Printing is safe from any goroutine.
type screen struct {
	terminal bool
	mu       sync.Mutex // one line at a time
	out, err io.Writer

	rl      *readline.Instance // on a terminal
	raw     io.Writer          // the terminal below it
	left    bool               // a line was being typed when the end came
	history *os.File           // nil: none is kept
	lines   chan string        // piped; closed at the end
	inErr   error              // why it ended, nil: as it should

	closing sync.Once
	closed  chan struct{}
}

func newScreen(stdin io.Reader, stdout, stderr io.Writer, terminal bool) (*screen, error) {
	s := &screen{terminal: terminal, out: stdout, err: stderr, closed: make(chan struct{})}
	if !terminal {
		s.lines = make(chan string)
		// Nobody waits for it: a read of a pipe can't be cancelled, and the
		// process ends without it. Between reads it ends with the screen.
		go s.scan(stdin)
		return s, nil
	}
	rl, err := readline.NewEx(&readline.Config{
		// What is typed is remembered by save, which knows what is secret;
		// the library's own file would be readable by all.
		DisableAutoSaveHistory: true,
		HistoryLimit:           maxHistory,
	})
	if err != nil {
		return nil, err
	}
	s.rl, s.raw, s.out, s.err = rl, stdout, rl.Stdout(), rl.Stdout()
	s.openHistory()
	return s, nil
}

// openHistory loads the last lines and shortens the file to them. Without a
// place for it there is no history beyond this run.
func (s *screen) openHistory() {
	dir := os.Getenv("XDG_STATE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return
		}
		dir = filepath.Join(home, ".local", "state")
	}
	dir = filepath.Join(dir, stateDirName)
	if os.MkdirAll(dir, 0o700) != nil {
		return
	}
	path := filepath.Join(dir, historyName)
	old, _ := os.ReadFile(path)
	lines := strings.Split(strings.TrimRight(string(old), "\n"), "\n")
	lines = lines[max(0, len(lines)-maxHistory):]
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return
	}
	s.history = f
	f.Chmod(0o600) // one that was there before may have another mode
	for _, line := range lines {
		s.save(line)
	}
}

// save remembers a line that was typed.
func (s *screen) save(line string) {
	if s.rl == nil || strings.TrimSpace(line) == "" {
		return
	}
	s.rl.SaveHistory(line)
	if s.history != nil {
		fmt.Fprintln(s.history, line)
	}
}

func (s *screen) scan(stdin io.Reader) {
	defer close(s.lines)
	in := bufio.NewScanner(stdin)
	in.Buffer(make([]byte, 4096), maxLine)
	for in.Scan() {
		select {
		case s.lines <- in.Text():
		case <-s.closed:
			return
		}
	}
	s.inErr = in.Err()
}

// line reads a line. The error is io.EOF, errInterrupt, or that of ctx or of
// reading. On a pipe there is no prompt.
func (s *screen) line(ctx context.Context, prompt string) (string, error) {
	if s.rl == nil {
		select {
		case line, ok := <-s.lines:
			switch {
			case ok:
				return line, nil
			case s.inErr != nil:
				return "", fmt.Errorf("reading input: %w", s.inErr)
			}
			return "", io.EOF
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	s.rl.SetPrompt(prompt)
	return s.typed(ctx, func() (string, error) {
		for {
			line, err := s.rl.Readline()
			if err != readline.ErrInterrupt {
				return line, err
			}
			if line == "" {
				return "", errInterrupt
			}
			// As a shell: what was typed is dropped.
		}
	})
}

// secret reads a line that is not shown, and never remembered.
func (s *screen) secret(ctx context.Context, prompt string) (string, error) {
	if s.rl == nil {
		return s.line(ctx, prompt)
	}
	return s.typed(ctx, func() (string, error) {
		b, err := s.rl.ReadPassword(prompt)
		if err == readline.ErrInterrupt {
			err = errInterrupt
		}
		return string(b), err
	})
}

// typed lets read read, until ctx ends. The library can't end a read of a
// terminal, not even by closing it: such a read is left to itself, with the
// terminal as it was before.
func (s *screen) typed(ctx context.Context, read func() (string, error)) (string, error) {
	type result struct {
		line string
		err  error
	}
	ch := make(chan result, 1)
	go func() {
		line, err := read()
		ch <- result{line, err}
	}()
	select {
	case r := <-ch:
		return r.line, r.err
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		s.rl.Terminal.ExitRawMode()
		s.out, s.err, s.left = s.raw, s.raw, true
		fmt.Fprintln(s.raw)
		return "", ctx.Err()
	}
}

// print writes one line.
func (s *screen) print(format string, args ...any) { s.write(&s.out, format, args) }

// fail writes one line about an error.
func (s *screen) fail(format string, args ...any) { s.write(&s.err, "error: "+format, args) }

func (s *screen) write(w *io.Writer, format string, args []any) {
	line := text.Clean(fmt.Sprintf(format, args...)) + "\n"
	s.mu.Lock()
	defer s.mu.Unlock()
	io.WriteString(*w, line) // nobody is left to be told where that fails
}

// close gives the terminal back as it was. It may be called twice.
func (s *screen) close() {
	s.closing.Do(func() {
		close(s.closed)
		if s.rl != nil && !s.left {
			s.rl.Close()
		}
		if s.history != nil {
			s.history.Close()
		}
	})
}
