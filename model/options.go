package model

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// The defaults of Options, and bounds that are not for setting.
const (
	DefaultMaxBatch       = 1024     // messages
	DefaultMaxBatchBytes  = 4 << 20  // bytes
	DefaultQueueMessages  = 64 << 10 // messages
	DefaultQueueBytes     = 64 << 20 // bytes
	DefaultCursorInterval = 10 * time.Second
	DefaultCursorBehind   = 500 // messages
	DefaultTokenLife      = 30 * 24 * time.Hour

	minReaders  = 4
	usedEvery   = time.Minute // how often a token's use is noted, at most
	maxPending  = 1 << 20     // cursors waiting to be written
	cursorRows  = 4096        // cursors in one transaction
	revokedRows = 1000        // revocations in one answer
)

// Options say how to open a store. A zero field but URL means its default.
type Options struct {
	URL  string // "sqlite:PATH" or "mysql://user:password@host:3306/database"
	Sync string // "full": what is acknowledged outlives a power cut. "normal": a crash of the process only. Default full. Of SQLite alone

	// Shared is for operators' commands: they work beside a running daemon,
	// whose lock they don't take.
	Shared bool

	// ReadOnly is for commands that only look: nothing is written, not even a
	// new store's tables, so that an account which may only SELECT is enough.
	// The schema must be this program's. Of the store's methods only those that
	// read may be called then; the others fail with ErrClosed, save Deliver,
	// Read and FlushSoon, which must not be called. It implies Shared.
	ReadOnly bool

	// WaitFor is how long Open keeps trying to reach a database server.
	WaitFor time.Duration

	Cores          int           // what the default of Readers goes by; default GOMAXPROCS
	Readers        int           // connections for reading; default by cores
	Writers        int           // append transactions at a time, of conversations each; default 2. SQLite has 1
	MaxBatch       int           // messages in one transaction
	MaxBatchBytes  int           // bytes in one transaction
	QueueMessages  int           // messages that may wait for one
	QueueBytes     int           // bytes that may wait for one
	CursorInterval time.Duration // how long a cursor waits to be written, at most
	CursorBehind   int64         // messages it may fall behind before it is written at once
	TokenLife      time.Duration // how long a token lives unused

	// Sink gets each batch of appends exactly once, after COMMIT, from one
	// goroutine for each writer that is not the writer; while it runs, so does
	// the next transaction. The slice is the sink's until it returns. It may
	// block for about 500 ms: batches wait for it, and then appends do. It must
	// not call Close.
	Sink func(ctx context.Context, batch []*Append)

	Logger *slog.Logger
	Set    *metrics.Set     // nil: a private one
	Now    func() time.Time // the clock of messages and tokens; nil: time.Now
}

func (o *Options) defaults() error {
	switch o.Sync {
	case "":
		o.Sync = "full"
	case "full", "normal":
	default:
		return fmt.Errorf("sync %q: want full or normal", o.Sync)
	}
	o.Shared = o.Shared || o.ReadOnly
	def := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	def(&o.Cores, runtime.GOMAXPROCS(0))
	def(&o.Readers, max(minReaders, 2*o.Cores))
	def(&o.MaxBatch, DefaultMaxBatch)
	def(&o.MaxBatchBytes, DefaultMaxBatchBytes)
	def(&o.QueueMessages, DefaultQueueMessages)
	def(&o.QueueBytes, DefaultQueueBytes)
	if o.CursorInterval <= 0 {
		o.CursorInterval = DefaultCursorInterval
	}
	if o.CursorBehind <= 0 {
		o.CursorBehind = DefaultCursorBehind
	}
	if o.TokenLife <= 0 {
		o.TokenLife = DefaultTokenLife
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Set == nil {
		o.Set = metrics.NewSet()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return nil
}
