package reactor

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// TestMain sees to it that nothing the tests start goes on running. gnet's
// worker pool is started when its package is loaded, and isn't ours.
func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) != "" {
		serveForTest()
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}
