package main

import "syscall"

// ownGroup keeps a terminal's Ctrl-C from a child, and ends the child when
// this process is killed.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
