package model

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"

	"chatd/internal/setting"

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
	usedEvery   = time.Minute            // how often a token's use is noted, at most
	maxShare    = 64                     // messages of one sender in one transaction, while more wait
	maxSkipped  = 4 << 10                // messages that a batch passes over because of that
	handover    = 4                      // committed batches that may wait for the sink
	maxPairs    = 128 << 10              // pairs a writer knows the conversation of
	maxMembers  = 128 << 10              // memberships a writer need not ask for
	maxWriters  = 64                     // their number is a set of bits somewhere
	maxPending  = 1 << 20                // cursors waiting to be written
	cursorRows  = 4096                   // cursors in one transaction
	revokedRows = 1000                   // revocations in one answer
	maxTries    = 5                      // of a write that others got in the way of
	firstPause  = 2 * time.Millisecond   // before the second attempt; then twice as long each time
	longPause   = 200 * time.Millisecond // between attempts, at most
	maxMisses   = 3                      // a conversation that others hold is tried so often before it is waited for
	retryMissed = 20 * time.Millisecond  // how long after a miss it is tried again, when it is waited for already
	missedFor   = 4 * time.Second        // then its messages fail
)

// Options say how to open a store. A zero field but DB means its default.
type Options struct {
	DB         string        `group:"store" name:"db" default:"sqlite:data/chatd.db" placeholder:"URL" common:"" help:"Database: sqlite:PATH, or mysql://user:password@host:3306/name, which several nodes can share."`
	SQLiteSync string        `group:"store" name:"sqlite-sync" default:"full" placeholder:"MODE" enum:"full,normal" common:"" help:"When SQLite syncs to disk. full: acknowledged messages survive a power cut. normal: faster, but a power cut may lose the last moments."`
	Wait       time.Duration `group:"nodes" name:"wait" default:"30s" placeholder:"TIME" help:"How long to wait at startup for the database and Redis. 0: don't wait."`

	// Shared is for operators' commands: they work beside a running daemon,
	// whose lock they don't take.
	Shared bool `kong:"-"`

	// ReadOnly is for commands that only look: nothing is written, not even a
	// new store's tables, so that an account which may only SELECT is enough.
	// The schema must be this program's. Of the store's methods only those that
	// read may be called then; the others fail with ErrClosed, save Deliver,
	// Read and FlushSoon, which must not be called. It implies Shared.
	ReadOnly bool `kong:"-"`

	Cores          int           `kong:"-"` // what the default of Readers goes by; default GOMAXPROCS
	Readers        int           `kong:"-"` // connections for reading; default by cores
	Writers        int           `kong:"-"` // append transactions at a time, of conversations each; default 2. SQLite has 1
	MaxBatch       int           `kong:"-"` // messages in one transaction
	MaxBatchBytes  int           `kong:"-"` // bytes in one transaction
	QueueMessages  int           `kong:"-"` // messages that may wait for one
	QueueBytes     int           `kong:"-"` // bytes that may wait for one
	CursorInterval time.Duration `kong:"-"` // how long a cursor waits to be written, at most
	CursorBehind   int64         `kong:"-"` // messages it may fall behind before it is written at once
	TokenLife      time.Duration `kong:"-"` // how long a token lives unused

	// Sink gets each batch of appends exactly once, after COMMIT, from one
	// goroutine for each writer that is not the writer; while it runs, so does
	// the next transaction. The slice is the sink's until it returns. It may
	// block for about 500 ms: batches wait for it, and then appends do. It must
	// not call Close.
	Sink func(ctx context.Context, batch []*Append) `kong:"-"`

	Logger *slog.Logger     `kong:"-"`
	Set    *metrics.Set     `kong:"-"` // nil: a private one
	Now    func() time.Time `kong:"-"` // the clock of messages and tokens; nil: time.Now
}

// CheckSettings notes each setting that has an invalid value.
func (o *Options) CheckSettings(p *setting.Problems) {
	if path, ok := strings.CutPrefix(o.DB, "sqlite:"); ok {
		p.Check(path != "", "db", "sqlite: needs a path, as in sqlite:data/chatd.db")
	} else {
		p.Check(strings.HasPrefix(o.DB, "mysql://"), "db", "%q is neither sqlite:PATH nor mysql://user:password@host:3306/name", setting.Redacted(o.DB))
	}
	p.Time("wait", o.Wait, 0, setting.MaxTime)
}

func (o *Options) defaults() error {
	switch o.SQLiteSync {
	case "":
		o.SQLiteSync = "full"
	case "full", "normal":
	default:
		return fmt.Errorf("sync %q: want full or normal", o.SQLiteSync)
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
