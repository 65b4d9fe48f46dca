package main

import (
	"os/exec"
	"syscall"
)

// ownTerminal makes the terminal of a command its controlling one, whose
// resizing it is told of.
func ownTerminal(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
}
