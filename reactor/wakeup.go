package reactor

import (
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// socketPair returns two connected sockets.
func socketPair() (a, b net.Conn, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	var conns [2]net.Conn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "wake-up")
		c, e := net.FileConn(f)
		err = errors.Join(err, e, f.Close())
		conns[i] = c
	}
	if err != nil {
		for _, c := range conns {
			if c != nil {
				_ = c.Close()
			}
		}
		return nil, nil, err
	}
	return conns[0], conns[1], nil
}

// wake makes the loop read its mailbox. Any goroutine may call it. The socket is
// never full: the mailbox, the ticker and the loop itself each call wake only if the
// loop has noticed their last call. So an error means that the loop has stopped.
func (l *loop) wake() { _, _ = l.wakeConn.Write([]byte{0}) }

// wakeSelf makes the loop continue with its remaining work after a round of I/O.
func (l *loop) wakeSelf(t Turn) {
	if !l.selfWoken {
		l.selfWoken = true
		l.wake()
	}
}
