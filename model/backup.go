package model

import (
	"context"
	"errors"
	"strings"

	"chatd/model/backup"
)

// Backup copies the SQLite store at url ("sqlite:PATH") to a new file, while chatd
// may be using the store. It doesn't need the schema of this release. See
// backup.SQLite.
func Backup(ctx context.Context, url, file string, progress func(done, total int64)) (size int64, err error) {
	path, ok := strings.CutPrefix(url, "sqlite:")
	if !ok {
		return 0, errors.New("only SQLite databases can be copied to a file")
	}
	return backup.SQLite(ctx, path, file, progress)
}
