package reactor

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that nothing the tests started is left running. gnet starts
// its worker pool when its package is loaded.
func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) != "" {
		serveForTest()
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}
