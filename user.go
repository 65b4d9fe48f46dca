package main

import (
	"errors"
	"io"
	"os"
)

type (
	userPasswd struct{ target }
	userBan    struct{ target }
	userUnban  struct{ target }
	userDelete struct{ target }

	epochCommand struct{}
)

// operate carries out an operator command.
func operate(inv *invocation, stdin *os.File, stdout, stderr io.Writer) error {
	return errors.New("not wired yet")
}
