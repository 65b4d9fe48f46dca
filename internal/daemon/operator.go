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

	"chatd/internal/names"
	"chatd/model"
	"chatd/proto"
	"chatd/service/audit"
	"chatd/service/login"
)

// operate runs an operator command on the database, whether a chatd is using it
// or not. A user command is one transaction, so after an interrupt it is done
// entirely or not at all.
func operate(inv *invocation, stdin *os.File, stdout, stderr io.Writer) (err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()

	// Open would create a missing database.
	if err := mustExist(inv.Store.DB); err != nil {
		return err
	}
	db, err := model.Open(ctx, model.Options{DB: inv.Store.DB, SQLiteSync: inv.Store.SQLiteSync, Shared: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	if inv.Command == "user clashes" {
		return listClashes(ctx, db, inv.Service.Login.ReservedNames, inv.JSON, stdout)
	}

	au, err := openOperatorAudit(inv, stderr)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, au.Close()) }()
	record := func(e audit.Event, err error) error {
		if err != nil {
			e.Outcome, e.Reason = audit.Failed, "unavailable"
			if errors.Is(err, model.ErrNotFound) || errors.Is(err, model.ErrNoInvite) {
				e.Outcome, e.Reason = audit.Refused, "not_found"
			}
		}
		au.Add(e)
		return err
	}
	if strings.HasPrefix(inv.Command, "invite") {
		return invite(ctx, inv, db, stdout, record)
	}
	if inv.Command == "epoch" {
		epoch, tokens, err := db.NewEpoch(ctx)
		event := audit.Event{Action: audit.NewEpoch}
		if err == nil {
			event.Detail = fmt.Sprintf("epoch %d, %d devices logged out", epoch, tokens)
		}
		if err := record(event, err); err != nil {
			return err
		}
		fmt.Fprintf(stdout, "the epoch is now %d, and %d devices are logged out; nodes that are running end within seconds: start them again, and clients will forget which messages they have\n", epoch, tokens)
		return nil
	}

	user, err := findUser(ctx, db, inv.Who)
	if err != nil {
		return err
	}
	done, event := "", audit.Event{User: user.ID, Name: user.Name}
	switch inv.Command {
	case "user passwd":
		var password, hash string
		if password, err = readPassword(ctx, stdin, stderr); err != nil {
			return err
		}
		if hash, err = login.HashPassword(inv.Service.Login.Argon2.Params, password); err != nil {
			return fmt.Errorf("hash the password: %w", err)
		}
		event.Action = audit.SetPassword
		err, done = db.OperatorPassword(ctx, user.ID, hash), "has a new password; all sessions are logged out"
	case "user ban":
		event.Action = audit.Ban
		err, done = db.Ban(ctx, user.ID, true), "is banned; all sessions are logged out"
	case "user unban":
		event.Action = audit.Unban
		err, done = db.Ban(ctx, user.ID, false), "can log in again"
	case "user delete":
		event.Action = audit.Delete
		err, done = db.DeleteUser(ctx, user.ID), "is deleted; all sessions are logged out"
	default:
		return fmt.Errorf("unknown command: %s", inv.Command)
	}
	if err := record(event, err); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "user %d %s %s\n", user.ID, names.Quote(user.Name), done)
	return nil
}

// mustExist returns an error if db is a SQLite file that doesn't exist.
func mustExist(db string) error {
	if path, ok := strings.CutPrefix(db, "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("database %s doesn't exist; name another with --db", db)
		}
	}
	return nil
}

// findUser finds a user by name or ID. Digits alone are an ID: no name is only
// digits.
func findUser(ctx context.Context, db *model.DB, who string) (model.User, error) {
	var user model.User
	id, err := strconv.ParseUint(who, 10, 63) // ParseInt would accept a sign, and +5 can be a name
	if err == nil {
		user, err = db.UserByID(ctx, int64(id))
	} else {
		user, err = db.UserByNameKey(ctx, proto.NameKey(who))
	}
	if errors.Is(err, model.ErrNotFound) {
		return user, fmt.Errorf("no such user: %s", names.Quote(who))
	}
	return user, err
}
