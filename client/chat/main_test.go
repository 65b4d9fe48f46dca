package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatd/client"
	"chatd/client/chat/tui"
	"chatd/internal/testbuild"
)

// If the environment variable beChat is set, the test binary runs as chat.
// Tests use that to run chat on a terminal. With the value beFaulty, chat
// panics when it sends a message.
const (
	beChat   = "CHAT_TEST_BE"
	beFaulty = "faulty"
)

// binaries is the directory that build puts chatd into.
var binaries string

func TestMain(m *testing.M) {
	switch os.Getenv(beChat) {
	case "":
	case beFaulty:
		err := tui.Run(context.Background(), tui.Config{
			Client: client.Config{Addrs: os.Args[1:2], Now: func() time.Time { panic("a fault") }},
			Name:   "alice", Password: "secret-1", In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		})
		fmt.Fprintln(os.Stderr, err)
		os.Exit(exitFailed)
	default:
		main()
	}
	os.Exit(func() int {
		var err error
		if binaries, err = os.MkdirTemp("", "chat-test-"); err != nil {
			panic(err)
		}
		defer func() { _ = os.RemoveAll(binaries) }()
		code := m.Run()
		if err := goleak.Find(); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return code
	}())
}

// build builds chatd once and returns its path.
var build = sync.OnceValues(func() (string, error) {
	path := filepath.Join(binaries, "chatd")
	return path, testbuild.Program(path, "chatd")
})
