package realservice

import (
	"context"
	"errors"
	"os"
	"testing"

	"chatd/internal/services"
)

// Promtool returns the path of Prometheus's promtool. If it isn't installed, it
// installs it, if this user may. If not, it skips the test.
func Promtool(t testing.TB) string {
	t.Helper()
	path, err := services.Find("promtool")
	if err == nil {
		return path
	}
	if os.Getenv("CHATD_SKIP_SERVICES") == "" {
		err = services.Ensure(context.Background(), os.Stderr, "promtool")
	}
	var missing *services.MissingError
	if errors.As(err, &missing) {
		t.Skipf("%v: alerts and dashboard are NOT checked", err)
	}
	requireNoError(t, err)
	path, err = services.Find("promtool")
	requireNoError(t, err)
	return path
}
