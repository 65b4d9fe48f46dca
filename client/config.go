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

// Config holds the settings of a Client. Only Addrs is required; New replaces
// zero values by the defaults given here.
type Config struct {
	Addrs  []string    // host:port of the servers, tried in turn
	TLS    *tls.Config // nil means plain TCP
	Device string      // this device's name, 1 to 64 characters; default proto.DefaultDevice
	Brief  bool        // log in without the lists of friends and groups: Friends and Groups stay empty

	Handlers Handlers     // callbacks for messages and other events
	State    Store        // stores token and progress between runs; nil means not stored
	Logger   *slog.Logger // nil disables logging

	Window int // most unacknowledged chat messages in flight; default and maximum proto.DefaultWindow, or less if the server says so
	Outbox int // most chat messages waiting or in flight; default 4,096

	// Dial opens a TCP connection, without TLS. The default is that of net.Dialer.
	// It may be called from several goroutines, and must return when its context
	// ends.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	DialTimeout  time.Duration // for connecting to one address, with TLS; default 10 s
	LoginTimeout time.Duration // for logging in after a reconnect; default 30 s
	BackoffMin   time.Duration // upper bound of the first random delay before reconnecting; default 200 ms
	BackoffMax   time.Duration // upper bound of all delays before reconnecting, unless the server asks for more; default 30 s
	PingEvery    time.Duration // interval of PINGs, default 30 s; a connection without data for 1.5 times as long is closed

	Now func() time.Time // the device's clock, used only for cids; default time.Now
}

// Limits and delays that applications can't change.
const (
	defaultOutbox = 4096
	maxCalls      = 1024 // pending requests per connection

	queueLen         = 4096                   // capacity of the handlers' queue; one page of a SYNC may exceed it
	queueRoomTimeout = 100 * time.Millisecond // how long the reader waits for slow handlers before it drops messages and leaves them to SYNC

	maxBuffered       = 512                   // out-of-order messages buffered per conversation
	maxOwnSeqs        = 64 << 10              // out-of-order seqs of own messages, per conversation
	gapDelay          = 75 * time.Millisecond // delay before a SYNC: most gaps are filled by a push on its way
	unknownStartDelay = 2 * time.Second       // the same, after an ACK in a conversation whose start isn't known
	syncBackoffMin    = time.Second           // delay after a SYNC without progress, doubled up to syncBackoffMax
	syncBackoffMax    = 30 * time.Second

	receiptDelay     = 100 * time.Millisecond // receipts are collected for this long
	receiptBatch     = 64                     // number of messages after which receipts are sent without delay
	receiptsPerWrite = 16                     // receipts written at once: servers limit frames per second
	readSure         = time.Minute            // a read receipt this old has surely arrived, even if the connection is lost now

	saveEvery     = 2 * time.Second  // minimum interval between saves
	writeTimeout  = 30 * time.Second // of one write
	closeTimeout  = 2 * time.Second  // of the last write, in Close
	maxKeptBuffer = 256 << 10        // in bytes; larger buffers aren't kept

	maxRetryAfter         = time.Minute // upper bound of a server's retry_after_ms
	unavailableBackoffMin = 250 * time.Millisecond
	unavailableBackoffMax = 15 * time.Second // a message with errno 10 is retried after unavailableBackoffMin, doubled up to this
)

// withDefaults returns c with defaults filled in, or an error about an invalid
// setting.
func (c Config) withDefaults() (Config, error) {
	if len(c.Addrs) == 0 {
		return c, errors.New("client: Config.Addrs is empty; set it to the servers' host:port")
	}
	setDefault(&c.Device, proto.DefaultDevice)
	if n := utf8.RuneCountInString(c.Device); n > proto.MaxDeviceChars {
		return c, fmt.Errorf("client: Config.Device must have at most %d characters, got %d", proto.MaxDeviceChars, n)
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
			return c, fmt.Errorf("client: Config.%s must not be negative, got %d", name, v)
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

// setDefault sets *p to v if it is zero.
func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
