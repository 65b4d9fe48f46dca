package daemon

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/alexedwards/argon2id"
	"github.com/rogpeppe/go-internal/testscript"

	"chatd/model"
	"chatd/proto"
)

// TestMain lets the scripts run this test binary as chatd.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"chatd": func() { os.Exit(Main("", os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }})
}

// The scripts run the real program as an operator does. They check its output,
// exit codes and changes to the database.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"newuser":  newUser,
			"say":      say,
			"user":     checkUser,
			"password": checkPassword,
			"code":     checkCode,
		},
	})
}

// store opens the script's database, which other processes may be using.
func store(ts *testscript.TestScript, file string) *model.DB {
	db, err := model.Open(context.Background(), model.Options{DB: "sqlite:" + ts.MkAbs(file), Shared: true})
	ts.Check(err)
	ts.Defer(func() { ts.Check(db.Close()) })
	return db
}

// newUser creates an account: newuser FILE NAME PASSWORD.
func newUser(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: newuser file name password")
	}
	hash, err := argon2id.CreateHash(args[2], &argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32})
	ts.Check(err)
	_, err = store(ts, args[0]).CreateUser(context.Background(), args[1], proto.NameKey(args[1]), hash)
	ts.Check(err)
}

// say stores a message from one user to another: say FILE FROM TO CID TEXT.
func say(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 5 {
		ts.Fatalf("usage: say file from to cid text")
	}
	stored := make(chan error, 1)
	db, err := model.Open(context.Background(), model.Options{DB: "sqlite:" + ts.MkAbs(args[0]), Shared: true,
		Sink: func(_ context.Context, batch []*model.Append) { stored <- batch[0].Err }})
	ts.Check(err)
	var ids [2]int64
	for i, name := range args[1:3] {
		u, err := db.UserByNameKey(context.Background(), proto.NameKey(name))
		ts.Check(err)
		ids[i] = u.ID
	}
	ts.Check(db.Append(&model.Append{Sender: ids[0], Peer: ids[1], CID: []byte(args[3]), Body: []byte(args[4])}))
	ts.Check(<-stored)
	ts.Check(db.Close())
}

// checkUser checks an account: user FILE ID banned|free, or ! user FILE ID.
func checkUser(ts *testscript.TestScript, neg bool, args []string) {
	id, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	user, err := store(ts, args[0]).UserByID(context.Background(), id)
	switch {
	case neg && err == nil:
		ts.Fatalf("user %d exists, want none", id)
	case neg:
	case err != nil:
		ts.Check(err)
	case user.Banned != (args[2] == "banned"):
		ts.Fatalf("user %d: banned = %v, want %v", id, user.Banned, !user.Banned)
	}
}

// checkPassword checks a password: [!] password FILE ID PASSWORD.
func checkPassword(ts *testscript.TestScript, neg bool, args []string) {
	id, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	user, err := store(ts, args[0]).UserByID(context.Background(), id)
	ts.Check(err)
	match, err := argon2id.ComparePasswordAndHash(args[2], user.Hash)
	ts.Check(err)
	if match == neg {
		ts.Fatalf("user %d: password %q matches = %v, want %v", id, args[2], match, !match)
	}
}

// checkCode checks an exit code: code N PROGRAM ARGUMENTS….
func checkCode(ts *testscript.TestScript, neg bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if neg || got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
