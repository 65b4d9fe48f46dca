package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"chatd/model"
)

// runBackup copies the SQLite database --db to a new file, whether a chatd is using
// it or not. After an interrupt there is no file.
func runBackup(inv *invocation, stdout, stderr io.Writer) error {
	if strings.HasPrefix(inv.Store.DB, "mysql://") {
		return fmt.Errorf("chatd backup is for SQLite. To back up this database while nodes are running, use\n  %s", dumpCommand(inv.Store.DB, inv.File))
	}
	if err := mustExist(inv.Store.DB); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer cancel()
	began := time.Now()
	size, err := model.Backup(ctx, inv.Store.DB, inv.File)
	if ctx.Err() != nil {
		return errors.New("interrupted; no backup was written")
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "backup written to %s and checked: %d bytes, %s; it is as confidential as the database\n",
		inv.File, size, time.Since(began).Round(time.Millisecond))
	return nil
}

// dumpCommand returns the command that dumps a MySQL database to a file. It asks
// for the password.
func dumpCommand(db, file string) string {
	u, err := url.Parse(db)
	if err != nil {
		u = &url.URL{Host: "HOST", Path: "/DATABASE"}
	}
	host, port := u.Hostname(), u.Port()
	if port == "" {
		port = "3306"
	}
	return fmt.Sprintf("(umask 077; mariadb-dump --single-transaction --quick --host=%s --port=%s --user=%s --password %s > %s)",
		shellWord(host), shellWord(port), shellWord(u.User.Username()), shellWord(strings.TrimPrefix(u.Path, "/")), shellWord(file))
}

// shellWord returns a word that a shell reads as s.
func shellWord(s string) string {
	safe := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
