// Package test has end-to-end tests. They run chatd as a process, alone and in a
// cluster, and check it together with the repository's clients, examples, scripts and
// documents.
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

// beChatd is the environment variable that makes this test binary run as chatd. This
// way, chatd has the race detector if the tests have it.
const beChatd = "BE_CHATD"

// Exit codes of chatd, as documented in docs/operations.md.
const (
	exitDone  = 0
	exitError = 1
)

// TestMain runs chatd or the tests. The working directory of the tests is the root of
// the repository.
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

// chatdEnv returns the environment with which a test starts this binary as chatd. It
// doesn't have the CHATD_ variables of the caller.
func chatdEnv() []string {
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, "CHATD_") })
	return append(env, beChatd+"=1")
}
