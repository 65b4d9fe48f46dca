// Package floor is a bare relay on gnet, the least that a server on the same
// event loops can do. It passes frames from senders to receivers and knows only
// their length. chatd's figures are compared with it, so it does everything
// that makes a relay fast and nothing else: no decoding, no store, no users,
// and no limits except those that keep it alive.
//
// A frame is its length, four bytes big-endian, and a body. The first frame of
// a connection says which group it joins, and whether it sends or receives
// (Hello). After that every frame of a sender goes unchanged and in order to
// all receivers of its group. A pair is a group with one of each.
//
// All frames of one read are relayed together: directly to receivers on the
// same loop, and through one mailbox to those on another loop, which writes
// once to each connection for everything in the mailbox.
package floor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"sync"

	"github.com/panjf2000/gnet/v2"
)

// Config configures a relay. Zero values mean the defaults.
type Config struct {
	Addr       string // address to listen on; default 127.0.0.1:0
	Loops      int    // event loops; default: one per core
	MaxFrame   int    // bytes of a body; default 128 KiB
	MaxWaiting int    // bytes that may wait for one receiver; default 1 MiB
	MaxMailbox int    // bytes that may wait for one loop; default 32 MiB
	Logger     *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.Loops == 0 {
		c.Loops = runtime.GOMAXPROCS(0)
	}
	if c.MaxFrame == 0 {
		c.MaxFrame = 128 << 10
	}
	if c.MaxWaiting == 0 {
		c.MaxWaiting = 1 << 20
	}
	if c.MaxMailbox == 0 {
		c.MaxMailbox = 32 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Run relays until ctx ends. It blocks. Once the relay listens, Run calls ready
// with the relay's address. An error means that the relay couldn't start, or that
// gnet's engine ended by itself, as it does if there are no file descriptors left.
func Run(ctx context.Context, cfg Config, ready func(net.Addr)) error {
	r := &relay{cfg: cfg.withDefaults(), booted: make(chan struct{}), groups: make(map[uint64]*group), byEngine: make(map[gnet.EventLoop]*loop)}
	ended := make(chan error, 1)
	go func() {
		ended <- gnet.Run(r, "tcp://"+r.cfg.Addr, gnet.WithNumEventLoop(r.cfg.Loops), gnet.WithReuseAddr(true),
			gnet.WithLoadBalancing(gnet.LeastConnections), gnet.WithLogger(gnetLog{r.cfg.Logger}))
	}()
	select {
	case err := <-ended:
		return fmt.Errorf("floor: start: %w", err)
	case <-r.booted:
	}
	if r.addr != nil {
		ready(r.addr)
		select {
		case err := <-ended:
			return errors.Join(errors.New("floor: gnet's engine has stopped unexpectedly"), err)
		case <-ctx.Done():
		}
	}
	// Stop with an ended context doesn't wait for the engine.
	over, cancel := context.WithCancel(ctx)
	cancel()
	_ = r.engine.Stop(over)
	if err := errors.Join(r.failed, <-ended); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	return nil
}

// relay is gnet's event handler.
type relay struct {
	gnet.BuiltinEventEngine
	cfg    Config
	engine gnet.Engine
	addr   net.Addr
	failed error
	booted chan struct{}

	mu       sync.Mutex // guards joining and leaving; relaying a frame doesn't take it
	groups   map[uint64]*group
	byEngine map[gnet.EventLoop]*loop
}

// OnBoot implements gnet.EventHandler: the relay listens.
func (r *relay) OnBoot(e gnet.Engine) gnet.Action {
	defer close(r.booted)
	r.engine = e
	r.addr, r.failed = address(e)
	return gnet.None
}

// address returns where an engine listens.
func address(e gnet.Engine) (net.Addr, error) {
	fd, err := e.Dup()
	if err != nil {
		return nil, fmt.Errorf("get the listener's address: %w", err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	l, err := net.FileListener(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("get the listener's address: %w", err)
	}
	return l.Addr(), l.Close()
}

// OnOpen implements gnet.EventHandler: a connection was added to a loop.
func (r *relay) OnOpen(gc gnet.Conn) ([]byte, gnet.Action) {
	r.mu.Lock()
	defer r.mu.Unlock()
	el := gc.EventLoop()
	l := r.byEngine[el]
	if l == nil {
		l = &loop{relay: r, index: len(r.byEngine), engine: el}
		r.byEngine[el] = l
	}
	gc.SetContext(&conn{gc: gc, loop: l})
	return nil, gnet.None
}

// OnTraffic implements gnet.EventHandler: a socket was read.
func (r *relay) OnTraffic(gc gnet.Conn) gnet.Action {
	c := gc.Context().(*conn)
	data, err := gc.Next(-1)
	if err == nil && !c.closed {
		err = c.feed(data)
	}
	if err != nil {
		r.cfg.Logger.Warn("connection closed", "addr", gc.RemoteAddr(), "err", err)
		return gnet.Close
	}
	return gnet.None
}

// OnClose implements gnet.EventHandler. The client or the relay has closed the
// connection, or a write failed. From now on, the connection's file descriptor
// may belong to another one.
func (r *relay) OnClose(gc gnet.Conn, _ error) gnet.Action {
	c := gc.Context().(*conn)
	c.closed = true
	r.leave(c)
	return gnet.None
}

// gnetLog logs gnet's errors. It drops warnings, which are normal when many
// connections close at once.
type gnetLog struct{ log *slog.Logger }

func (gnetLog) Debugf(string, ...any)               {}
func (gnetLog) Infof(string, ...any)                {}
func (gnetLog) Warnf(string, ...any)                {}
func (g gnetLog) Errorf(format string, args ...any) { g.log.Error(fmt.Sprintf(format, args...)) }
func (g gnetLog) Fatalf(format string, args ...any) { g.Errorf(format, args...) }
