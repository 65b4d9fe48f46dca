// Package realservice starts the real services that tests need: MariaDB,
// Redis and nginx, on free ports of the loopback address, with their data in
// folders of their own. It is services for tests: what goes wrong ends the
// test, and the test's end ends the services. Nothing of them outlives the
// test process, however that ends.
//
// Where a program isn't installed the test fails, and says how to get it; with
// CHATD_SKIP_SERVICES set it is skipped. Functions here may be called from the
// test's own goroutine only, and block until the service answers or has ended.
package realservice

import (
	"errors"
	"os"
	"testing"

	"chatd/internal/services"
)

// Port returns a port of 127.0.0.1 that nobody listens on, and that no other
// test is given until this one ends, in whatever process.
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

// must ends the test where err says so: skipped where a program isn't
// installed and that was asked for, else failed.
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
		t.Fatalf("%s isn't installed: run make test, it installs it (or set CHATD_SKIP_SERVICES to do without)", missing.Program)
	}
}
