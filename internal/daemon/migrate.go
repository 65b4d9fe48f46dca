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

// progressEvery is how often migrate reports its progress.
const progressEvery = 5 * time.Second

// migrate copies everything from one store to another, empty one. No chatd may
// use either of them at that time. After an interrupt the target is incomplete
// and must be deleted; the source is never changed.
func migrate(inv *invocation, stdout, stderr io.Writer) (err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	if path, ok := strings.CutPrefix(inv.From, "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: there is no store to take over", inv.From)
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
	said := time.Now()
	err = model.CopyStore(ctx, from, to, func(table string, n int64) {
		rows[table] = n
		if time.Since(said) >= progressEvery {
			said = time.Now()
			fmt.Fprintf(stderr, "%s: %d\n", table, n)
		}
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "taken over and checked: %d users, %d conversations, %d messages; the epoch is still %d\n",
		rows["users"], rows["conversations"], rows["messages"], to.Epoch())
	return nil
}
