// Package floor is a bare relay on gnet, the least that a server on the same
// event loops can do: it passes frames from senders to receivers and knows
// nothing of them but their length. It is what chatd's figures are compared
// with, so it does all that makes a relay fast and nothing else: no decoding,
// no store, no users, no limits but those that keep it alive.
//
// A frame is its length, four bytes big-endian, and a body. A connection says
// with its first frame which group it is in, and whether it sends or receives
// (Hello). From then on every frame of a sender goes, byte for byte, to all
// receivers of its group, in order. A pair is a group with one of each.
//
// All frames of one read go on together: straight to receivers of the same
// loop, and through one mailbox to those of another, which writes once to
// each of its connections for all that it finds there.
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

// Config is what a relay can be told. Zero means the default.
type Config struct {
	Addr       string // where to listen; default 127.0.0.1:0
	Loops      int    // event loops; default: one per core
	MaxFrame   int    // of a body; default 128 KiB
	MaxWaiting int    // bytes that may wait for a receiver; default 1 MiB
	MaxMailbox int    // bytes that may wait for a loop; default 32 MiB
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

// Run relays until ctx ends. It calls ready with its address once it listens.
// An error says that it couldn't start, or that the engine has ended by
// itself, as gnet's does when there are no file descriptors left.
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
			return errors.Join(errors.New("floor: the engine has ended by itself"), err)
		case <-ctx.Done():
		}
	}
	// With a context that is over it only tells the engine to end.
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

	mu       sync.Mutex // connections come and go under it; frames never see it
	groups   map[uint64]*group
	byEngine map[gnet.EventLoop]*loop
}

// OnBoot is gnet's: the relay listens.
func (r *relay) OnBoot(e gnet.Engine) gnet.Action {
	defer close(r.booted)
	r.engine = e
	r.addr, r.failed = address(e)
	return gnet.None
}

// address is where an engine listens.
func address(e gnet.Engine) (net.Addr, error) {
	fd, err := e.Dup()
	if err != nil {
		return nil, fmt.Errorf("find the port: %w", err)
	}
	f := os.NewFile(uintptr(fd), "listener")
	l, err := net.FileListener(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("find the port: %w", err)
	}
	return l.Addr(), l.Close()
}

// OnOpen is gnet's: a connection has joined a loop.
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

// OnTraffic is gnet's: a socket was read.
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

// OnClose is gnet's: a connection has ended, by itself, by ours, or within a
// Write that failed. Its file descriptor may be someone else's from here on.
func (r *relay) OnClose(gc gnet.Conn, _ error) gnet.Action {
	c := gc.Context().(*conn)
	c.closed = true
	r.leave(c)
	return gnet.None
}

// gnetLog makes gnet's errors part of the log; it warns of what is as it
// should be where many connections close at once.
type gnetLog struct{ log *slog.Logger }

func (gnetLog) Debugf(string, ...any)               {}
func (gnetLog) Infof(string, ...any)                {}
func (gnetLog) Warnf(string, ...any)                {}
func (g gnetLog) Errorf(format string, args ...any) { g.log.Error(fmt.Sprintf(format, args...)) }
func (g gnetLog) Fatalf(format string, args ...any) { g.Errorf(format, args...) }
