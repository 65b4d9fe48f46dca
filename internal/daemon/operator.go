package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"chatd/model"
	"chatd/proto"
	"chatd/service/login"
)

// operate runs an operator command on the store, whether a chatd is using it or
// not. The command is one transaction, so an interrupt leaves it done or not
// done. Its errors are for the operator to read.
func operate(inv *invocation, stdin *os.File, stdout, stderr io.Writer) (err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	// Open would create an empty store if there is none.
	if err := mustExist(inv.Store.DB); err != nil {
		return err
	}
	db, err := model.Open(ctx, model.Options{DB: inv.Store.DB, SQLiteSync: inv.Store.SQLiteSync, Shared: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	if inv.Command == "epoch" {
		epoch, err := db.NewEpoch(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "the epoch is %d; clients forget which messages they have once chatd is started (again)\n", epoch)
		return nil
	}

	user, err := findUser(ctx, db, inv.Who)
	if err != nil {
		return err
	}
	done := ""
	switch inv.Command {
	case "user passwd":
		var password, hash string
		if password, err = readPassword(ctx, stdin, stderr); err != nil {
			return err
		}
		if hash, err = login.HashPassword(inv.Service.Login.Argon2.Params, password); err != nil {
			return fmt.Errorf("hash the password: %w", err)
		}
		err, done = db.OperatorPassword(ctx, user.ID, hash), "has a new password; all sessions end"
	case "user ban":
		err, done = db.Ban(ctx, user.ID, true), "is banned; all sessions end"
	case "user unban":
		err, done = db.Ban(ctx, user.ID, false), "may log in again"
	case "user delete":
		err, done = db.DeleteUser(ctx, user.ID), "is deleted; all sessions end"
	default:
		return fmt.Errorf("no such command: %s", inv.Command)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "user %d %q %s\n", user.ID, user.Name, done)
	return nil
}

// mustExist returns an error if the store is a file that doesn't exist.
func mustExist(db string) error {
	if path, ok := strings.CutPrefix(db, "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: there is no store; name it with --db", db)
		}
	}
	return nil
}

// findUser finds a user by name or id. Only digits are an id: names can't be like that.
func findUser(ctx context.Context, db *model.DB, who string) (model.User, error) {
	var user model.User
	id, err := strconv.ParseUint(who, 10, 63) // ParseInt would accept a sign, and +5 can be a name
	if err == nil {
		user, err = db.UserByID(ctx, int64(id))
	} else {
		user, err = db.UserByNameKey(ctx, proto.NameKey(who))
	}
	if errors.Is(err, model.ErrNotFound) {
		return user, fmt.Errorf("no such user: %q", who)
	}
	return user, err
}
