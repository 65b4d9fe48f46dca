package model

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"time"
	"unicode"

	"chatd/internal/setting"
	"chatd/model/sqldb"

	"github.com/VictoriaMetrics/metrics"
)

// Defaults of Options, and limits that are not configurable.
const (
	DefaultMaxBatch       = 1024     // messages
	DefaultMaxBatchBytes  = 4 << 20  // bytes
	DefaultQueueMessages  = 64 << 10 // messages
	DefaultQueueBytes     = 64 << 20 // bytes
	DefaultCursorInterval = 10 * time.Second
	DefaultCursorBehind   = 500 // messages
	DefaultTokenLife      = 30 * 24 * time.Hour

	// ReadInterval is how often read cursors are written, if other processes may serve
	// clients from the store: they find them in the feed.
	ReadInterval = 3 * time.Second

	maxReserve = 100 * 365 * 24 * time.Hour // of ReserveNames; it catches typos

	maxDaily      = 1 << 30 // of MessagesPerDay and MessagesFromStrangers; it catches typos
	maxDailyBytes = 1 << 50 // of BytesPerDay
	maxToStranger = 10_000  // of MessagesToStranger; so many messages are read to check it

	minReaders    = 4
	maxPending    = 1 << 20 // cursors waiting to be written
	maxCursorRows = 4096    // cursors in one transaction
	maxStarts     = 512     // sessions started in one transaction
)

// Options say how to open a store. DB is required; for other fields, zero means
// the default.
type Options struct {
	DB         string        `group:"store" name:"db" default:"sqlite:data/chatd.db" placeholder:"URL" common:"" help:"Database: sqlite:PATH, or mysql://user:password@host:3306/name, which several nodes can share."`
	SQLiteSync string        `group:"store" name:"sqlite-sync" default:"full" placeholder:"MODE" enum:"full,normal" common:"" help:"When SQLite syncs to disk. full: acknowledged messages survive a power cut. normal: faster, but a power cut may lose the latest messages."`
	Wait       time.Duration `group:"nodes" name:"wait" default:"30s" placeholder:"TIME" help:"How long to wait at startup for the database and Redis. 0: don't wait."`

	ReserveNames time.Duration `group:"security" name:"reserve-deleted-names" default:"720h" placeholder:"TIME" help:"How long nobody can register the name of a deleted user. 0: the name is free at once."`

	MessagesPerDay        int `group:"limits" name:"messages-per-day" default:"50000" placeholder:"N" help:"Messages that a user may store per day, over all nodes. 0: no limit."`
	BytesPerDay           int `group:"limits" name:"bytes-per-day" type:"size" default:"64MiB" placeholder:"SIZE" help:"Bytes of messages that a user may store per day, over all nodes. 0: no limit."`
	MessagesToStranger    int `group:"limits" name:"messages-to-stranger" default:"1000" placeholder:"N" help:"Messages that a user may send to someone who has never answered and isn't a friend. 4 KiB of text count as another message. 0: no limit."`
	MessagesFromStrangers int `group:"limits" name:"messages-from-strangers" default:"5000" placeholder:"N" help:"Messages per day that a user may get from all those together whom the user has never answered and who aren't friends. 4 KiB of text count as another message. 0: no limit."`

	// Shared opens a SQLite database without taking the lock file, so that
	// operators' commands work while chatd runs.
	Shared bool `kong:"-"`

	// ReadOnly opens the store without writing anything: a database account
	// with SELECT is enough. The schema must have this program's version, as
	// it isn't migrated. Methods that write return ErrClosed; SetDelivered,
	// SetRead and FlushSoon must not be called. ReadOnly implies Shared.
	ReadOnly bool `kong:"-"`

	Cores          int           `kong:"-"` // determines the default of Readers; default GOMAXPROCS
	Readers        int           `kong:"-"` // connections for reading; default 2 per core, at least 4
	Writers        int           `kong:"-"` // append transactions that run in parallel; default 2, at most 64. SQLite always has 1
	MaxBatch       int           `kong:"-"` // messages in one transaction
	MaxBatchBytes  int           `kong:"-"` // bytes in one transaction
	QueueMessages  int           `kong:"-"` // messages that may wait for a transaction
	QueueBytes     int           `kong:"-"` // bytes that may wait for a transaction
	CursorInterval time.Duration `kong:"-"` // how often cursors are written
	CursorBehind   int64         `kong:"-"` // a cursor that has moved by this many messages is written at once
	TokenLife      time.Duration `kong:"-"` // how long an unused token stays valid

	// Sink gets each message once, with its outcome: after the commit, or with
	// Err when the message has failed. One goroutine per writer calls it, while
	// the next transaction runs. If it blocks for more than about 500 ms, stored
	// batches wait for it, and then appends do. It must not keep the slice after
	// it returns, and must not call Close.
	Sink func(ctx context.Context, batch []*Append) `kong:"-"`

	maxRows int // rows in one statement; 0: the dialect's. Tests that open many stores set it, as preparing takes time

	Logger *slog.Logger     `kong:"-"`
	Set    *metrics.Set     `kong:"-"` // nil: a set of its own
	Now    func() time.Time `kong:"-"` // the clock for messages and tokens; nil: time.Now

	noBackground bool // tests move messages to the indexes themselves, and don't need UpdateLooks
}

// CheckSettings adds each invalid setting to p.
func (o *Options) CheckSettings(p *setting.Problems) {
	if path, ok := strings.CutPrefix(o.DB, "sqlite:"); ok {
		p.Check(path != "", "db", "sqlite: needs a path, as in sqlite:data/chatd.db")
		// A file or a script with Windows line ends would add one to the name.
		p.Check(!strings.ContainsFunc(path, unicode.IsControl) && path == strings.TrimSpace(path), "db", "%q begins or ends with a blank, or contains a control character", o.DB)
	} else if strings.HasPrefix(o.DB, "mysql://") {
		err := sqldb.CheckMySQL(o.DB)
		p.Check(err == nil, "db", "%v", err)
	} else {
		p.Check(false, "db", "%q is neither sqlite:PATH nor mysql://user:password@host:3306/name", setting.Redacted(o.DB))
	}
	p.Time("wait", o.Wait, 0, setting.MaxTime)
	p.Int("messages-per-day", o.MessagesPerDay, 0, maxDaily)
	p.Size("bytes-per-day", o.BytesPerDay, 0, maxDailyBytes)
	p.Int("messages-to-stranger", o.MessagesToStranger, 0, maxToStranger)
	p.Int("messages-from-strangers", o.MessagesFromStrangers, 0, maxDaily)
	p.Time("reserve-deleted-names", o.ReserveNames, 0, maxReserve)
}

// Lift removes the limits on what users store.
func (o *Options) Lift() {
	o.MessagesPerDay, o.BytesPerDay, o.MessagesToStranger, o.MessagesFromStrangers = 0, 0, 0, 0
}

func (o *Options) defaults() error {
	switch o.SQLiteSync {
	case "":
		o.SQLiteSync = "full"
	case "full", "normal":
	default:
		return fmt.Errorf("invalid SQLite sync mode %q: want full or normal", o.SQLiteSync)
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
