package main

import (
	"io"
	"testing"
	"time"
)

// What the people of a soak get acknowledged when they say all that they can is
// the measure of what a server is soaked with, and stays out of the report.
func TestSoakCalibrates(t *testing.T) {
	srv, err := newServer(t.Context(), &target{Spawn: spawnSQLite, Chatd: chatd(t), Dir: t.TempDir()}, newProgress(io.Discard), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := srv.stop(); err != nil {
			t.Error(err)
		}
	}()
	r := &rig{server: srv, progress: newProgress(io.Discard), report: &report{}, faults: &faults{}, clock: newClock()}
	s := &soak{Users: 40, Members: 20, Leave: 2, Away: time.Second, Size: 40, Patience: 15 * time.Second}
	reached, err := s.calibrate(t.Context(), r, 500*time.Millisecond)
	if n, first := r.faults.summary(); err != nil || reached <= 0 || n > 0 || len(r.report.Figures) > 0 {
		t.Fatalf("%g per second, %v, %q, %+v", reached, err, first, r.report)
	}
}
