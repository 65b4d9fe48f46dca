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
	maxLine      = 256 << 10 // bytes in a line of piped input
	maxHistory   = 500       // lines in the history
	historyName  = "history"
	stateDirName = "chatd"
)

// errInterrupt means that the user pressed Ctrl-C on an empty line.
var errInterrupt = errors.New("interrupted")

// console reads and prints lines, on a terminal or on pipes. What it prints goes
// through text.Sprintf. Any goroutine may print; only one may read.
type console struct {
	terminal bool
	mu       sync.Mutex // guards the writers
	out, err io.Writer

	rl        *readline.Instance // nil on pipes
	raw       io.Writer          // the terminal, bypassing readline
	abandoned bool               // await returned while a read was still running
	history   *os.File           // nil if there is no history file
	lines     chan string        // lines of piped input; closed at its end
	inErr     error              // why piped input ended; set before lines is closed

	closing sync.Once
	closed  chan struct{}
}

func newConsole(stdin io.Reader, stdout, stderr io.Writer, terminal bool) (*console, error) {
	s := &console{terminal: terminal, out: stdout, err: stderr, closed: make(chan struct{})}
	if !terminal {
		s.lines = make(chan string)
		// A blocked read of a pipe can't be canceled, so nothing waits for this
		// goroutine.
		go s.scan(stdin)
		return s, nil
	}
	rl, err := readline.NewEx(&readline.Config{
		// remember adds lines to the history, except secret ones. The library's
		// own history file would be readable by all users.
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

// openHistory loads the last maxHistory lines of the history file and removes
// the others from it. If the file can't be opened, the history isn't saved.
func (s *console) openHistory() {
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
	f.Chmod(0o600) // the file may be an old one with another mode
	for _, line := range lines {
		s.remember(line)
	}
}

// remember adds a line to the history.
func (s *console) remember(line string) {
	if s.rl == nil || strings.TrimSpace(line) == "" {
		return
	}
	s.rl.SaveHistory(line)
	if s.history != nil {
		fmt.Fprintln(s.history, line)
	}
}

func (s *console) scan(stdin io.Reader) {
	defer close(s.lines)
	in := bufio.NewScanner(stdin)
	in.Buffer(make([]byte, 4096), maxLine)
	for first := true; in.Scan(); first = false {
		line := in.Text()
		if first {
			line = strings.TrimPrefix(line, "\ufeff") // a byte order mark
		}
		select {
		case s.lines <- line:
		case <-s.closed:
			return
		}
	}
	s.inErr = in.Err()
}

// readLine reads a line. Its errors are io.EOF, errInterrupt, ctx.Err(), and
// read errors. The prompt is shown only on a terminal.
func (s *console) readLine(ctx context.Context, prompt string) (string, error) {
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
	return s.await(ctx, func() (string, error) {
		for {
			line, err := s.rl.Readline()
			if err != readline.ErrInterrupt {
				return line, err
			}
			if line == "" {
				return "", errInterrupt
			}
			// Ctrl-C drops what was typed, as in a shell.
		}
	})
}

// readSecret reads a line without showing it. It isn't added to the history.
func (s *console) readSecret(ctx context.Context, prompt string) (string, error) {
	if s.rl == nil {
		return s.readLine(ctx, prompt)
	}
	return s.await(ctx, func() (string, error) {
		b, err := s.rl.ReadPassword(prompt)
		if err == readline.ErrInterrupt {
			err = errInterrupt
		}
		return string(b), err
	})
}

// await calls read and returns its result. If ctx is canceled first, it returns
// ctx.Err(). readline can't cancel a read, so await restores the terminal and
// leaves the read running.
func (s *console) await(ctx context.Context, read func() (string, error)) (string, error) {
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
		s.out, s.err, s.abandoned = s.raw, s.raw, true
		fmt.Fprintln(s.raw)
		return "", ctx.Err()
	}
}

// print prints a line.
func (s *console) print(format string, args ...any) { s.write(&s.out, format, args) }

// fail prints an error line.
func (s *console) fail(format string, args ...any) { s.write(&s.err, "error: "+format, args) }

func (s *console) write(w *io.Writer, format string, args []any) {
	line := string(text.Sprintf(format, args...)) + "\n"
	s.mu.Lock()
	defer s.mu.Unlock()
	io.WriteString(*w, line) // if this fails, there is nowhere to report it
}

// close restores the terminal. Calling it again does nothing.
func (s *console) close() {
	s.closing.Do(func() {
		close(s.closed)
		if s.rl != nil && !s.abandoned {
			s.rl.Close()
		}
		if s.history != nil {
			s.history.Close()
		}
	})
}
