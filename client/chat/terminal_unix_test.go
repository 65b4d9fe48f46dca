package main

import (
	"os/exec"
	"syscall"
)

// ownTerminal makes stdin the controlling terminal of cmd, so that cmd gets
// SIGWINCH when the size changes.
func ownTerminal(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
}
