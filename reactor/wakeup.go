package reactor

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// socketPair has two connected sockets as net.Conns.
func socketPair() (a, b net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	var cs [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "bell")
		c, e := net.FileConn(f)
		err = errors.Join(err, e, f.Close())
		cs[i] = c
	}
	if err != nil {
		for _, c := range cs {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, nil, err
	}
	return cs[0], cs[1], nil
}

// wake has the loop look at its mailbox; for any goroutine. An error can only
// mean that the loop has stopped, and a full socket that it will wake anyway.
func (l *loop) wake() { _, _ = l.bell.Write([]byte{0}) }

// again has the loop go on with what it left for later, after a round of I/O.
func (l *loop) again(t Turn) {
	if !l.nudged {
		l.nudged = true
		l.wake()
	}
}
