package model

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"chatd/model/faultvfs"
)

// ioFaults are ways in which a disk fails. After is set by the tests.
var ioFaults = []struct {
	name   string
	faults []faultvfs.Fault
}{
	{"log not written", []faultvfs.Fault{{On: faultvfs.Write, File: "-wal", Times: 1}}},
	{"log not written thrice", []faultvfs.Fault{{On: faultvfs.Write, File: "-wal", Times: 3}}},
	{"log half written", []faultvfs.Fault{{On: faultvfs.Write, File: "-wal", Times: 2, Torn: true}}},
	{"disk full", []faultvfs.Fault{{On: faultvfs.Write, Full: true, Torn: true}}},
	{"log not synced", []faultvfs.Fault{{On: faultvfs.Sync, File: "-wal", Times: 1}}},
	{"log not synced and not kept", []faultvfs.Fault{{On: faultvfs.Sync, File: "-wal", Times: 1, Drop: true}}},
	{"log not synced thrice", []faultvfs.Fault{{On: faultvfs.Sync, File: "-wal", Times: 3}}},
	{"log not synced thrice and not kept", []faultvfs.Fault{{On: faultvfs.Sync, File: "-wal", Times: 3, Drop: true}}},
	{"log neither synced nor truncated", []faultvfs.Fault{{On: faultvfs.Sync, File: "-wal", Times: 3}, {On: faultvfs.Truncate}}},
	{"database not written", []faultvfs.Fault{{On: faultvfs.Write, File: ".db", Times: 2}}},
	{"database half written", []faultvfs.Fault{{On: faultvfs.Write, File: ".db", Times: 1, Torn: true}}},
	{"database not synced", []faultvfs.Fault{{On: faultvfs.Sync, File: ".db", Times: 2}}},
	{"database not synced and not kept", []faultvfs.Fault{{On: faultvfs.Sync, File: ".db", Times: 2, Drop: true}}},
	{"log not truncated", []faultvfs.Fault{{On: faultvfs.Truncate, Times: 1}}},
	{"log not read", []faultvfs.Fault{{On: faultvfs.Read, File: "-wal", Times: 2}}},
	{"database not read", []faultvfs.Fault{{On: faultvfs.Read, File: ".db", Times: 2}}},
	{"everything fails", []faultvfs.Fault{{On: faultvfs.Read}, {On: faultvfs.Write}, {On: faultvfs.Sync}, {On: faultvfs.Truncate}}},
}

// The disk fails for a while. What was acknowledged before, meanwhile and afterwards is
// in the store, and survives a power cut at any moment, and a kill followed by a power
// cut. What failed got an error, and is stored once when it is sent again after the
// repair. No restart is necessary.
func TestIOErrors(t *testing.T) {
	seed := diskSeed(t)
	rng := rand.New(rand.NewPCG(seed, 6))
	for _, tc := range ioFaults {
		t.Run(tc.name, func(t *testing.T) {
			if diskTime(t) == 0 {
				failDisk(t, seed, tc.faults, rng.IntN(8), rng)
				return
			}
			for after := 0; failDisk(t, seed, tc.faults, after, rng) && after < 100; after++ {
			}
		})
	}
}

// failDisk runs a store whose disk fails after some calls. It reports whether a call
// has failed.
func failDisk(t *testing.T, seed uint64, faults []faultvfs.Fault, after int, rng *rand.Rand) (fired bool) {
	t.Helper()
	r := preparedRun(t, seed, "full", faultvfs.None)
	fail := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("seed %d, after %d calls: %v", seed, after, err)
		}
	}
	r.rounds(0, 2)
	for _, f := range faults {
		f.After = after
		r.disk.Inject(f)
	}
	first := r.disk.Len()
	var failed []*sentMessage
	for i := range 12 {
		l, errs := r.round(2 + i)
		for _, err := range errs {
			for _, wrong := range []error{ErrNotFound, ErrNotAllowed, ErrAlready, ErrTaken, ErrFull} {
				if errors.Is(err, wrong) {
					fail(fmt.Errorf("while the disk fails: error %w, want the database's", err))
				}
			}
		}
		if failed = append(failed, l...); i > 7 && len(failed) > 0 {
			break
		}
	}
	fired = r.disk.Repair() > 0
	if len(failed) > 0 {
		for i, a := range r.pass(true, failed...) {
			r.await(a)
			if a.Err != nil {
				fail(fmt.Errorf("cid %s, sent again after the repair: %w", failed[i].cid, a.Err))
			}
		}
	}
	r.rounds(14, 16)
	im := &image{DB: r.DB}
	log, err := im.logs()
	fail(err)
	fail(r.complete(r.DB, log, r.disk.Len()))
	if len(log) != len(r.sent) {
		fail(fmt.Errorf("%d messages are stored, want all %d", len(log), len(r.sent)))
	}
	replay, end, cuts, kills := r.disk.Replay(), r.disk.Len(), 1, rng.IntN(3)/2
	if diskTime(t) > 0 {
		cuts, kills = 6, 2
	}
	for i := range cuts {
		first += rng.IntN((end-first)/(cuts-i) + 1)
		fail(r.cut(replay, first, rng))
		if i < kills {
			k := r.killed(t, first, seed, faultvfs.None)
			k.stored()
			k.rounds(0, 2)
			fail(k.cut(k.disk.Replay(), rng.IntN(k.disk.Len()+1), rng))
			fail(k.Close())
		}
	}
	fail(r.Close())
	fail(r.cut(r.disk.Replay(), r.disk.Len(), rng))
	return fired
}

// If the disk fails while a store is being opened, Open returns an error or a store
// that works, and nothing is lost.
func TestOpenIOErrors(t *testing.T) {
	seed := diskSeed(t)
	rng := rand.New(rand.NewPCG(seed, 7))
	r := preparedRun(t, seed, "full", faultvfs.None)
	r.rounds(0, 10)
	step := 25
	if diskTime(t) > 0 {
		step = 1
	}
	for on := faultvfs.Read; on <= faultvfs.Truncate; on++ {
		for after := rng.IntN(step); ; after += 1 + rng.IntN(step) {
			dir := t.TempDir()
			at := r.ready + rng.IntN(r.disk.Len()-r.ready)
			disk, err := r.disk.Replay().Kill(dir, at)
			if err != nil {
				t.Fatal(err)
			}
			disk.Inject(faultvfs.Fault{On: on, After: after})
			if im, err := openImage(dir); err == nil {
				_ = im.Close()
			}
			fired := disk.Repair() > 0
			disk.Detach()
			if err := r.check(dir, at, rng); err != nil {
				t.Fatalf("seed %d: Open when a %s fails after %d others: %v", seed, on, after, err)
			}
			if !fired {
				break
			}
		}
	}
}
