package model

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// Size is the size of the store.
type Size struct {
	Bytes int64 // without SQLite's write-ahead log; on MySQL, an estimate of the server
	Free  int64 // free bytes on the disk of a SQLite database, for this process; -1: unknown
}

const mysqlSize = `SELECT CAST(COALESCE(SUM(data_length + index_length), 0) AS SIGNED) FROM information_schema.tables WHERE table_schema = DATABASE()`

// Size returns the size of the store. It blocks.
func (db *DB) Size(ctx context.Context) (s Size, err error) {
	path, ok := strings.CutPrefix(db.o.DB, "sqlite:")
	if !ok {
		s.Free = -1
		return s, db.get(ctx, &s.Bytes, mysqlSize)
	}
	st, err := os.Stat(path)
	if err != nil {
		return s, fmt.Errorf("read the size of the database: %w", err)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(path, &fs); err != nil {
		return s, fmt.Errorf("read the free space of the disk of %s: %w", path, err)
	}
	return Size{Bytes: st.Size(), Free: int64(fs.Bavail) * int64(fs.Bsize)}, nil
}
