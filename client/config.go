package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"
	"unicode/utf8"

	"chatd/proto"
)

// Config is what a Client is made from. Addrs is the only field that must be
// set; New replaces zero values by the defaults named here.
type Config struct {
	Addrs  []string    // host:port of the servers, tried in turn
	TLS    *tls.Config // nil: plain TCP
	Device string      // this device's name; default proto.DefaultDevice
	Brief  bool        // leave friends and groups out of logins: Friends and Groups stay empty

	Handlers Handlers     // what is called for what happens
	State    Store        // keeps token and progress between runs; nil: nothing is kept
	Logger   *slog.Logger // nil: nothing is logged

	Window int // un-acknowledged chat messages on the wire; default and most proto.DefaultWindow, or less where the server says so
	Outbox int // chat messages that wait or are on the wire; default 4,096

	// Dial makes connections, before TLS where there is any; nil: a net.Dialer's
	// DialContext. Several goroutines may call it; it must end with its context.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	DialTimeout  time.Duration // for one address; default 10 s
	LoginTimeout time.Duration // for the login of a reconnect; default 30 s
	BackoffMin   time.Duration // bound of the first random wait before reconnecting; default 200 ms
	BackoffMax   time.Duration // bound of every wait that the server doesn't ask for; default 30 s
	PingEvery    time.Duration // default 30 s; a connection silent for one and a half of it is dead

	Now func() time.Time // the device's clock, for the ids of messages alone; nil: time.Now
}

// Bounds and waits that are not for the application to choose.
const (
	defaultOutbox = 4096
	maxCalls      = 1024 // requests without an answer, per connection

	queueLen         = 4096                   // events that wait for the handlers; a page of SYNC may come on top
	queueRoomTimeout = 100 * time.Millisecond // how long reading waits for slow handlers before it leaves messages to SYNC

	maxBuffered       = 512                   // messages kept beyond a hole, per conversation
	maxOwnSeqs        = 64 << 10              // numbers of one's own messages kept beyond a hole, per conversation
	gapDelay          = 75 * time.Millisecond // a push on its way fills most holes
	unknownStartDelay = 2 * time.Second       // for what the server believes we lack, after an ACK in an unknown conversation
	syncBackoffMin    = time.Second           // after a SYNC without progress, doubled up to syncRetryMax
	syncBackoffMax    = 30 * time.Second

	receiptDelay     = 100 * time.Millisecond // receipts of this long are sent together
	receiptBatch     = 64                     // messages after which they are sent at once
	receiptsPerWrite = 16                     // conversations whose receipts are sent in one go: servers limit frames per second

	saveEvery     = 2 * time.Second  // progress is saved at most this often
	writeTimeout  = 30 * time.Second // for one write
	closeTimeout  = 2 * time.Second  // for the last write, in Close
	maxKeptBuffer = 256 << 10        // a write buffer larger than this is not kept

	maxRetryAfter         = time.Minute // a server's retry_after_ms is cut to this
	unavailableBackoffMin = 250 * time.Millisecond
	unavailableBackoffMax = 15 * time.Second // an errno 10 is tried again after unsureWait, doubled up to this
)

// withDefaults checks c and fills in what is not set.
func (c Config) withDefaults() (Config, error) {
	if len(c.Addrs) == 0 {
		return c, errors.New("client: Config.Addrs is empty")
	}
	setDefault(&c.Device, proto.DefaultDevice)
	if n := utf8.RuneCountInString(c.Device); n > proto.MaxDeviceChars {
		return c, fmt.Errorf("client: Config.Device has %d characters, more than %d", n, proto.MaxDeviceChars)
	}
	setDefault(&c.Window, proto.DefaultWindow)
	setDefault(&c.Outbox, defaultOutbox)
	setDefault(&c.DialTimeout, 10*time.Second)
	setDefault(&c.LoginTimeout, 30*time.Second)
	setDefault(&c.BackoffMin, 200*time.Millisecond)
	setDefault(&c.BackoffMax, 30*time.Second)
	setDefault(&c.PingEvery, 30*time.Second)
	for name, v := range map[string]int64{
		"Window": int64(c.Window), "Outbox": int64(c.Outbox), "DialTimeout": int64(c.DialTimeout),
		"LoginTimeout": int64(c.LoginTimeout), "BackoffMin": int64(c.BackoffMin),
		"BackoffMax": int64(c.BackoffMax), "PingEvery": int64(c.PingEvery),
	} {
		if v < 0 {
			return c, fmt.Errorf("client: Config.%s is negative", name)
		}
	}
	if c.Dial == nil {
		c.Dial = new(net.Dialer).DialContext
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	c.Window = min(c.Window, proto.DefaultWindow)
	c.BackoffMax = max(c.BackoffMax, c.BackoffMin)
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
