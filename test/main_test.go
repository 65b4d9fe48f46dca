// Package test has the tests of the whole project: chatd as a process, alone
// and in a cluster, with the clients, examples, scripts and documents of the
// repository. The packages have their own tests.
package test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"chatd/internal/daemon"
)

// beChatd is the environment variable that makes this test binary run as
// chatd. A test that starts chatd this way has the race detector in it, too.
const beChatd = "BE_CHATD"

// The exit codes of chatd, as docs/operations.md has them.
const (
	exitDone  = 0
	exitError = 1
)

// TestMain runs chatd, or the tests. They run in the root of the repository,
// wherever they were started in it.
func TestMain(m *testing.M) {
	if os.Getenv(beChatd) != "" {
		os.Exit(daemon.Main("", os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	root, err := findRoot()
	if err == nil {
		err = os.Chdir(root)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "test:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// findRoot returns the folder of go.mod: the working directory or one above it.
func findRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		above := filepath.Dir(dir)
		if above == dir {
			return "", fmt.Errorf("no go.mod in the working directory or above it: run the tests in the repository")
		}
		dir = above
	}
}

// chatdEnv is the environment of a chatd that a test starts with this test
// binary: without the CHATD_ variables of the caller.
func chatdEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "CHATD_") })
	return append(env, beChatd+"=1")
}
