package reactor

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain checks that the tests leave no goroutines running. It ignores gnet's worker
// pool, which starts when the package is loaded.
func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) != "" {
		serveForTest()
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}
