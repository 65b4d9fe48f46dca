package model

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"chatd/model/faultvfs"
)

// powerCutRun records a run of a store from its creation on.
func powerCutRun(t *testing.T, seed uint64, rounds int, sync string, bug faultvfs.Bug, prepare func(r *diskRun)) *diskRun {
	t.Helper()
	dir := t.TempDir()
	disk, err := faultvfs.Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	disk.Break(bug)
	r := newDiskRun(t, dir, disk, sync, seed)
	r.setUp()
	if prepare != nil {
		prepare(r)
	}
	for i := range rounds {
		if i == rounds/2 && rounds > 20 {
			r.reopen() // a clean stop: the log is deleted
			r.smallLog()
		}
		if failed, errs := r.round(i); len(failed) > 0 || len(errs) > 0 {
			t.Fatalf("round %d: %d messages failed, other errors: %v; want none", i, len(failed), errs)
		}
	}
	if len(r.odd) > 0 {
		t.Fatal(r.odd[0])
	}
	return r
}

// cut cuts the power after n operations, and checks what is left.
func (r *diskRun) cut(cuts *faultvfs.PowerCuts, n int, rng *rand.Rand) error {
	dir, err := os.MkdirTemp(r.t.TempDir(), "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := cuts.Cut(dir, n, rng.IntN(4) == 0, rng); err != nil {
		return err
	}
	if err := r.check(dir, n, rng); err != nil {
		return fmt.Errorf("power cut after operation %d of %d: %w", n, r.disk.Len(), err)
	}
	return nil
}

// With full syncs, a power cut at any moment loses no acknowledged message and no
// other acknowledged write; the logs have no gap and no repeat; and the store works
// again.
func TestPowerCut(t *testing.T) {
	seed := diskSeed(t)
	end := time.Now().Add(diskTime(t))
	for first := true; first || time.Now().Before(end); first, seed = false, seed+1 {
		rounds, step := 40, 12
		if !first {
			rounds = 100
		}
		r := powerCutRun(t, seed, rounds, "full", faultvfs.None, nil)
		cuts, rng := r.disk.PowerCuts(), rand.New(rand.NewPCG(seed, 2))
		n := 0
		for at := rng.IntN(step); at <= r.disk.Len(); at += 1 + rng.IntN(2*step) {
			if err := r.cut(cuts, at, rng); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			n++
		}
		t.Logf("seed %d: %d messages, %d operations, %d power cuts", seed, len(r.sent), r.disk.Len(), n)
	}
}
