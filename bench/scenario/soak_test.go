package scenario

import (
	"io"
	"testing"
	"time"

	"chatd/bench/benchtest"
	"chatd/bench/load"
	"chatd/bench/report"
	"chatd/bench/target"
)

// Calibration measures the rate of acknowledged messages under overload, and
// leaves no figures in the report.
func TestSoakCalibrates(t *testing.T) {
	srv, err := target.Start(t.Context(), &target.Flags{Spawn: target.SpawnSQLite, Chatd: benchtest.Chatd(t), Dir: t.TempDir()}, report.NewProgress(io.Discard), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.Stop(); err != nil {
			t.Error(err)
		}
	}()
	env := load.NewEnv(srv, report.NewProgress(io.Discard), &report.Report{})
	s := &Soak{Users: 40, Members: 20, Leave: 2, Away: time.Second, Size: 40, Patience: 15 * time.Second}
	reached, err := s.calibrate(t.Context(), env, 500*time.Millisecond)
	if n, first := env.Faults.Summary(); err != nil || reached <= 0 || n > 0 || len(env.Report.Figures) > 0 {
		t.Fatalf("calibrate = %g, %v, faults %q, figures %+v; want a positive rate, no faults and no figures", reached, err, first, env.Report.Figures)
	}
}
