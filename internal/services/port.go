package services

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
)

// Ports are taken from below those that systems give to clients: a service
// that is down for a while must find its port free when it returns.
const firstPort, lastPort = 15000, 30000

// Port is a port of 127.0.0.1 that nobody listened on when it was chosen, and
// that nobody else is given who asks this package, in whatever process.
type Port struct {
	Number int
	lock   *os.File // nil: chosen by somebody else
}

// NewPort chooses a port. It is kept until Release, or until the process ends.
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

// reserve locks one byte of a file that all processes of the user share: the
// one at the port's number.
func (p *Port) reserve() (bool, error) {
	f, err := os.OpenFile(filepath.Join(os.TempDir(), fmt.Sprintf("chatd-ports-%d", os.Getuid())), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return false, err
	}
	if err := lockByte(f, p.Number); err != nil {
		return false, f.Close() // the next port then
	}
	p.lock = f
	return true, nil
}

// Release lets others have the port. It may be called again.
func (p *Port) Release() error {
	if p.lock == nil {
		return nil
	}
	err := p.lock.Close() // which unlocks it
	p.lock = nil
	return err
}

// Taken says whether somebody listens on a port of 127.0.0.1.
func Taken(port int) bool {
	l, err := net.Listen("tcp", Address(port))
	return err != nil || l.Close() != nil
}
