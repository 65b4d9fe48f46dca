package main

import (
	"os/exec"
	"syscall"
)

// ownTerminal makes stdin the controlling terminal of cmd, so that it is
// notified of size changes.
func ownTerminal(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 0}
}
