// Package groupcommit stores many messages per transaction. While a transaction
// runs, messages gather in a queue, and the next transaction takes them all. No
// timer delays a message.
//
// The package keeps messages in order, retries, works around conversations that
// other processes have locked, and resolves commits whose outcome is unknown. It
// contains no SQL: a Step, which the caller provides, runs the transactions.
package groupcommit

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Errors of Committer.Append, and of messages.
var (
	ErrBusy      = errors.New("too many messages are waiting to be stored")
	ErrClosed    = errors.New("the store is closed")
	ErrMalformed = errors.New("malformed message: want a cid, a body, and either a group or a peer")
	ErrRunFailed = errors.New("an earlier message of the same sender to the same conversation could not be stored")
	ErrLocked    = errors.New("another node or program has kept the conversation locked for too long")
)

// Bounds that are not configurable.
const (
	maxPerSender = 64                     // messages of one sender in a transaction, if more than that many wait
	maxSkipped   = 4 << 10                // messages that one transaction skips because of maxPerSender
	maxHandover  = 4                      // stored batches that may wait for the sink
	maxAttempts  = 3                      // tries for a locked conversation, then the lock waiter gets it
	firstDelay   = 2 * time.Millisecond   // before the second attempt of a transaction; it doubles each time
	maxDelay     = 200 * time.Millisecond // between attempts of a transaction
	deferDelay   = 20 * time.Millisecond  // between further tries, after maxAttempts
	maxDeferred  = 4 * time.Second        // how long a conversation may stay locked; then its messages fail
)

// Step runs the transactions that store messages, on one database connection.
// Only one goroutine uses it at a time, and at most one transaction is open.
type Step interface {
	// Begin starts a transaction.
	Begin(ctx context.Context) error

	// Apply writes the batch's messages that are Pending, in the order of the
	// batch, and sets their outcomes: Conv, Seq, Time and Stored, or Err for a
	// message that may not be stored. It must look up those that are MayRepeat
	// in the log, and calls AnswerRepeat for those that it finds.
	//
	// With wait, Apply waits for rows that other processes have locked, and
	// creates conversations that don't exist yet. Without it, Apply calls Defer
	// or DeferUntilCreated for the messages of these conversations.
	//
	// After an error the caller rolls back.
	Apply(ctx context.Context, batch []*Append, wait bool) error

	// Commit commits the transaction, and sets Version and Last of the batch.
	// After an error, the outcome is unknown: the transaction may be committed.
	Commit() error

	// Rollback rolls back the transaction.
	Rollback()

	// Classify says what kind of error a method returned.
	Classify(err error) Class

	// Close releases the Step's resources.
	Close()
}

// Class is the kind of an error of a Step.
type Class int

// The classes of errors. All but LockTimeout and Disconnected leave the
// connection as it was.
const (
	Permanent    Class = iota // it will fail again
	Duplicate                 // a message of the batch is in the log already
	Transient                 // it may work later
	Retryable                 // a conflict with another transaction: retry at once
	LockTimeout               // like Retryable: a lock was not released in time
	Disconnected              // like Retryable: the connection or the database is gone
)

func (c Class) retryable() bool { return c == Retryable || c == LockTimeout || c == Disconnected }
func (c Class) transient() bool { return c == Transient || c.retryable() }

// Steps are the Steps of one writer.
type Steps struct {
	Main Step

	// Wait runs the transactions that wait for locks. If it is nil, no other
	// process may write to the database, and Main waits for locks itself.
	Wait Step
}

// Config configures a Committer. All fields but Sink and Timeout must be set.
type Config struct {
	MaxBatch      int           // messages in a transaction
	MaxBatchBytes int           // bytes in a transaction
	QueueMessages int           // messages that may wait for a transaction
	QueueBytes    int           // bytes that may wait for a transaction
	Timeout       time.Duration // of a transaction with all its retries; 0: none

	// Sink gets each message once, with its outcome: after the commit, or when
	// the message has failed (Err). One goroutine per writer calls it, while the
	// next transaction runs. The sink must not keep the slice after it returns,
	// and must not call Close.
	Sink func(ctx context.Context, batch []*Append)

	Logger *slog.Logger
	Set    *metrics.Set
}

// Committer stores messages. Any goroutine may call its methods.
type Committer struct {
	config  Config
	m       *counters
	queue   *queue
	writers []*writer
}

// New starts a Committer with one writer for each element of steps, 1 to 64. A
// conversation always has the same writer. The Committer closes the Steps.
func New(c Config, steps []Steps) *Committer {
	g := newCommitter(c, len(steps))
	for i, s := range steps {
		g.writers = append(g.writers, newWriter(g, i, s))
	}
	g.addGauges()
	for _, w := range g.writers {
		w.start()
	}
	return g
}

func newCommitter(c Config, writers int) *Committer {
	return &Committer{config: c, m: newCounters(c.Set), queue: newQueue(writers, c.QueueMessages, c.QueueBytes)}
}

// Append queues messages. Messages of one conversation are stored in the order
// of the calls; the sink gets the outcomes. Append never blocks. It takes all of
// the messages, or none if it returns an error: ErrBusy if too many messages
// wait, or ErrClosed.
func (c *Committer) Append(batch ...*Append) error {
	err := c.queue.put(batch)
	if err == ErrBusy {
		c.m.refused.Add(len(batch))
	}
	return err
}

// Close refuses further messages, waits until the sink has handled all queued
// ones, and ends the Committer's goroutines. Call it once.
func (c *Committer) Close() {
	c.queue.close()
	for _, w := range c.writers {
		w.close()
	}
}
