package services

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
)

// Ports are chosen from below the system's range for outgoing connections: a
// service that is down for a while needs its port back when it restarts.
const firstPort, lastPort = 15000, 30000

// Port is a port of 127.0.0.1 that nobody listened on when it was chosen. No
// other user of this package, in any process, gets it until it is released.
type Port struct {
	Number int
	lock   *os.File // nil if the caller chose the number
}

// NewPort chooses a port. It is reserved until Release, or until the process
// ends.
func NewPort() (*Port, error) {
	for range 100 {
		p := &Port{Number: firstPort + rand.IntN(lastPort-firstPort)}
		switch reserved, err := p.reserve(); {
		case err != nil:
			return nil, fmt.Errorf("choose a port: %w", err)
		case !reserved:
			continue
		}
		if !Taken(p.Number) {
			return p, nil
		}
		if err := p.Release(); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("no free port found")
}

// reserve locks one byte in a file that all processes of the user share; its
// offset is the port's number. It reports false if another process has locked
// it.
func (p *Port) reserve() (bool, error) {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("chatd-ports-%d", os.Getuid())), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	if err := lockByte(f, p.Number); err != nil {
		return false, f.Close() // another process has it
	}
	p.lock = f
	return true, nil
}

// Release gives the port back. It may be called again.
func (p *Port) Release() error {
	if p.lock == nil {
		return nil
	}
	err := p.lock.Close() // this unlocks it
	p.lock = nil
	return err
}

// Taken reports whether something listens on a port of 127.0.0.1.
func Taken(port int) bool {
	l, err := net.Listen("tcp", Address(port))
	return err != nil || l.Close() != nil
}
