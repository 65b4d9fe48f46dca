package crash

import (
	"errors"
	"net"
	"sync"
	"time"
)

// link relays all connections between two parties over the loopback network and
// can treat them as a bad network does. Its methods don't block and are safe
// for concurrent use.
type link struct {
	l    net.Listener
	to   string
	done sync.WaitGroup

	mu      sync.Mutex
	pipes   map[*pipe]struct{}
	delay   time.Duration // of each chunk of data
	held    chan struct{} // closed when data flows again; nil: it flows
	refused bool
	lost    bool // one side has lost power
	closed  bool
}

// pipe is one connection through a link.
type pipe struct {
	near, far net.Conn

	mu   sync.Mutex
	dead bool // data is dropped silently
}

// pieceSize is the size of a chunk. dialTimeout bounds connecting to the other
// side.
const (
	pieceSize   = 32 << 10
	dialTimeout = 2 * time.Second
)

// newLink starts a link to an address, on a free port.
func newLink(to string) (*link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	k := &link{l: l, to: to, pipes: make(map[*pipe]struct{})}
	k.done.Go(k.accept)
	return k, nil
}

func (k *link) addr() string { return k.l.Addr().String() }

func (k *link) accept() {
	for {
		near, err := k.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // e.g. no file descriptors
			time.Sleep(10 * time.Millisecond)
			continue
		}
		k.done.Go(func() { k.open(near) })
	}
}

func (k *link) open(near net.Conn) {
	k.mu.Lock()
	refused := k.refused || k.lost || k.closed
	k.mu.Unlock()
	if refused {
		reset(near)
		return
	}
	far, err := net.DialTimeout("tcp", k.to, dialTimeout)
	if err != nil {
		reset(near)
		return
	}
	p := &pipe{near: near, far: far}
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		p.cut()
		return
	}
	p.dead = k.lost
	k.pipes[p] = struct{}{}
	k.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { k.forward(p, near, far) })
	both.Go(func() { k.forward(p, far, near) })
	both.Wait()
	p.cut()
	k.mu.Lock()
	delete(k.pipes, p)
	k.mu.Unlock()
}

// forward copies one direction of a pipe until it ends.
func (k *link) forward(p *pipe, from, to net.Conn) {
	buf := make([]byte, pieceSize)
	for {
		n, err := from.Read(buf)
		if n > 0 && !p.isDead() {
			k.wait()
			if !p.isDead() {
				if _, err := to.Write(buf[:n]); err != nil {
					p.cut()
					return
				}
			}
		}
		if err != nil {
			if p.isDead() {
				reset(from)
				return // the other side must not notice
			}
			if half, ok := to.(*net.TCPConn); ok && half.CloseWrite() == nil && !errors.Is(err, net.ErrClosed) {
				return
			}
			p.cut()
			return
		}
	}
}

// wait holds data back as the link demands.
func (k *link) wait() {
	k.mu.Lock()
	delay, held := k.delay, k.held
	k.mu.Unlock()
	if delay > 0 {
		time.Sleep(delay)
	}
	if held != nil {
		<-held
	}
}

func (p *pipe) isDead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// cut resets both connections.
func (p *pipe) cut() {
	reset(p.near)
	reset(p.far)
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // on failure it is an ordinary close
	}
	_ = c.Close()
}

func (k *link) all() []*pipe {
	k.mu.Lock()
	defer k.mu.Unlock()
	all := make([]*pipe, 0, len(k.pipes))
	for p := range k.pipes {
		all = append(all, p)
	}
	return all
}

// cut resets all connections. New ones are accepted.
func (k *link) cut() {
	for _, p := range k.all() {
		p.cut()
	}
}

// halfOpen makes all connections silently drop everything in both directions,
// for good. New connections work.
func (k *link) halfOpen() {
	for _, p := range k.all() {
		p.mu.Lock()
		p.dead = true
		p.mu.Unlock()
	}
}

// losePower makes all connections silently drop everything for good, as halfOpen
// does. New ones are refused until resume. So if a process on one side is killed
// now, the other side isn't told.
func (k *link) losePower() {
	k.mu.Lock()
	k.lost = true
	k.mu.Unlock()
	k.halfOpen()
}

// stall holds all data back until resume, also on new connections.
func (k *link) stall() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held == nil {
		k.held = make(chan struct{})
	}
}

// slow delays each chunk of data; 0: no delay.
func (k *link) slow(delay time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.delay = delay
}

// refuse resets new connections.
func (k *link) refuse() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.refused = true
}

// resume ends stall, slow and refuse, and lets new connections through again
// after losePower.
func (k *link) resume() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.delay, k.refused, k.lost = 0, false, false
	if k.held != nil {
		close(k.held)
		k.held = nil
	}
}

// close closes the link and its connections and waits for its goroutines.
func (k *link) close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	_ = k.l.Close() // it only ends accept
	k.resume()
	k.cut()
	k.done.Wait()
}
