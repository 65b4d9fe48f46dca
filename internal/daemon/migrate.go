package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"chatd/model"
)

const progressEvery = 5 * time.Second

// migrate copies everything from one database to another, empty one. No chatd
// may use either of them meanwhile. After an interrupt the target is incomplete
// and must be deleted; the source is never changed.
func migrate(inv *invocation, stdout, stderr io.Writer) (err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	if path, ok := strings.CutPrefix(inv.From, "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("--from: %s doesn't exist", inv.From)
		}
	}
	if err := makeFolder(inv.To); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	from, err := model.Open(ctx, model.Options{DB: inv.From, Logger: log, Wait: inv.Store.Wait})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	to, err := model.Open(ctx, model.Options{DB: inv.To, SQLiteSync: inv.Store.SQLiteSync, Logger: log, Wait: inv.Store.Wait})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()

	rows := make(map[string]int64)
	reported := time.Now()
	err = model.CopyStore(ctx, from, to, func(table string, n int64) {
		rows[table] = n
		if time.Since(reported) >= progressEvery {
			reported = time.Now()
			fmt.Fprintf(stderr, "%s: %d rows copied\n", table, n)
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "copied and checked %d users, %d conversations and %d messages; the epoch is still %d\n",
		rows["users"], rows["conversations"], rows["messages"], to.Epoch())
	return nil
}
