package load

import (
	"os"
	"testing"

	"chatd/bench/benchtest"
)

func TestMain(m *testing.M) { os.Exit(benchtest.RunTests(m)) }
