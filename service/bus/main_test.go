package bus

import (
	"testing"

	"go.uber.org/goleak"
)

// Every goroutine of the bus has ended when it is closed.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
