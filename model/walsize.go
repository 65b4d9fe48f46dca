package model

import "log/slog"

// walWarning is a size of SQLite's write-ahead log, in bytes, that it reaches only if
// another program keeps it from starting over: usually one with an open read
// transaction, such as a shell. chatd's own checkpoints start at 64 MiB.
const walWarning = 256 << 20

// walWatch warns when the write-ahead log grows. It is used by one goroutine.
type walWatch struct {
	log    *slog.Logger
	warnAt int64 // size of the next warning; 0: walWarning
}

// check warns about a size, and again each time it has doubled. It says when the log
// is small again.
func (w *walWatch) check(size int64) {
	switch {
	case size >= max(w.warnAt, walWarning):
		w.log.Warn("SQLite's write-ahead log keeps growing: another program has been reading the database for long; end it, for example a sqlite3 shell",
			"bytes", size)
		w.warnAt = 2 * size
	case size < walWarning && w.warnAt > 0:
		w.log.Info("SQLite's write-ahead log is small again", "bytes", size)
		w.warnAt = 0
	}
}
