// Package realservice starts the services that tests need: MariaDB, Redis and
// nginx. It wraps package services for tests: errors fail the test, and the
// services end with the test. They use free ports of the loopback address, keep
// their data in temporary directories, and never outlive the test process.
//
// If a program isn't installed, the test fails with a hint; with
// CHATD_SKIP_SERVICES set it is skipped. Functions must be called from the
// test's goroutine. They block until the service is ready or has ended.
package realservice

import (
	"errors"
	"os"
	"testing"

	"chatd/internal/services"
)

// Port returns a port of 127.0.0.1 that nobody listens on. No other test, in any
// process, gets it before this test ends.
func Port(t testing.TB) int {
	t.Helper()
	p, err := services.NewPort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Release(); err != nil {
			t.Error(err)
		}
	})
	return p.Number
}

// requireNoError ends the test if err isn't nil. If a program isn't installed
// and CHATD_SKIP_SERVICES is set, it skips the test.
func requireNoError(t testing.TB, err error) {
	t.Helper()
	var missing *services.MissingError
	switch {
	case err == nil:
	case !errors.As(err, &missing):
		t.Fatal(err)
	case os.Getenv("CHATD_SKIP_SERVICES") != "":
		t.Skipf("%s isn't installed, and CHATD_SKIP_SERVICES is set", missing.Program)
	default:
		t.Fatalf("%s isn't installed: run make test, which installs it, or set CHATD_SKIP_SERVICES to skip this test", missing.Program)
	}
}
