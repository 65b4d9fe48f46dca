package daemon

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"chatd/proto"
	"chatd/service/login"
)

// maxPasswordLine is the number of bytes read from stdin for a password: several
// times the longest password.
const maxPasswordLine = 4096

// readPassword reads a new password. If stdin is a terminal, it asks twice,
// without echo; otherwise it reads the first line of stdin. If ctx ends while it
// asks, it turns the echo on again and returns an error.
func readPassword(ctx context.Context, stdin *os.File, prompt io.Writer) (string, error) {
	var password string
	if fd := int(stdin.Fd()); term.IsTerminal(fd) {
		var err error
		if password, err = askHidden(ctx, fd, prompt, "New password: "); err != nil {
			return "", err
		}
		again, err := askHidden(ctx, fd, prompt, "Repeat the password: ")
		if err != nil {
			return "", err
		}
		if again != password {
			return "", errors.New("the passwords don't match; nothing was changed")
		}
	} else {
		line, err := bufio.NewReader(io.LimitReader(stdin, maxPasswordLine)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", fmt.Errorf("read the password: %w", err)
		}
		// PowerShell and editors on Windows write a byte order mark.
		password = strings.TrimPrefix(strings.TrimRight(line, "\r\n"), bom)
	}
	// REG would refuse such a password, or no client could log in with it.
	if !utf8.ValidString(password) || utf8.RuneCountInString(password) > proto.MaxPasswordChars || proto.CheckPassword(password) != nil {
		return "", fmt.Errorf("a password must have %d to %d characters, in UTF-8; nothing was changed", proto.MinPasswordChars, proto.MaxPasswordChars)
	}
	if err := login.CheckPassword(password); err != nil {
		return "", fmt.Errorf("%w; nothing was changed", err)
	}
	return password, nil
}

// askHidden asks for a line without echo. If ctx ends first, the goroutine that
// reads stays blocked, because a read from a terminal can't be canceled. The
// process is about to end anyway.
func askHidden(ctx context.Context, fd int, prompt io.Writer, question string) (string, error) {
	state, err := term.GetState(fd)
	if err != nil {
		return "", fmt.Errorf("read the terminal's state: %w", err)
	}
	fmt.Fprint(prompt, question)
	defer fmt.Fprintln(prompt)
	type answer struct {
		line []byte
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		line, err := term.ReadPassword(fd)
		answers <- answer{line, err}
	}()
	select {
	case a := <-answers:
		if a.err != nil {
			return "", fmt.Errorf("read the password: %w", a.err)
		}
		return string(a.line), nil
	case <-ctx.Done():
		return "", errors.Join(errors.New("interrupted; nothing was changed"), term.Restore(fd, state))
	}
}
