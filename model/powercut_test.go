package model

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"chatd/model/faultvfs"
)

// rounds runs rounds of which nothing may fail.
func (r *diskRun) rounds(from, to int) {
	r.t.Helper()
	for i := from; i < to; i++ {
		if failed, errs := r.round(i); len(failed) > 0 || len(errs) > 0 {
			r.t.Fatalf("round %d: %d messages failed, other errors: %v; want none", i, len(failed), errs)
		}
	}
	if len(r.odd) > 0 {
		r.t.Fatal(r.odd[0])
	}
}

// cut cuts the power after n operations, and checks what is left.
func (r *diskRun) cut(replay *faultvfs.Replay, n int, rng *rand.Rand) error {
	dir, err := os.MkdirTemp(r.t.TempDir(), "")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := replay.Cut(dir, n, rng.IntN(4) == 0, rng); err != nil {
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
		rounds, step := 32, 20
		switch {
		case !first:
			rounds, step = 100, 10
		case diskTime(t) > 0:
			step = 1 // cut the power at every point
		}
		dir := t.TempDir()
		disk, err := faultvfs.Attach(dir)
		if err != nil {
			t.Fatal(err)
		}
		r := newDiskRun(t, dir, disk, "full", seed)
		r.setUp()
		r.rounds(0, rounds/2)
		r.reopen() // a clean stop: the log is deleted
		r.smallLog()
		r.rounds(rounds/2, rounds)
		replay, rng := r.disk.Replay(), rand.New(rand.NewPCG(seed, 2))
		n := 0
		for at := rng.IntN(step); at <= r.disk.Len(); at += 1 + rng.IntN(2*step-1) {
			if err := r.cut(replay, at, rng); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			n++
		}
		t.Logf("seed %d: %d messages, %d operations, %d power cuts", seed, len(r.sent), r.disk.Len(), n)
	}
}

// killed returns a run of the store that a new process opens after this one was
// killed after n operations.
func (r *diskRun) killed(t *testing.T, n int, seed uint64, bug faultvfs.Bug) *diskRun {
	t.Helper()
	dir := t.TempDir()
	disk, err := r.disk.Replay().Kill(dir, n)
	if err != nil {
		t.Fatal(err)
	}
	disk.Break(bug)
	k := newDiskRun(t, dir, disk, r.o.SQLiteSync, seed)
	k.users, k.group, k.life, k.ready = r.users, r.group, r.life+1, 0
	for _, m := range r.known() {
		m.acked, m.at = m.acked && m.at <= n, 0
		k.sent = append(k.sent, &m)
		k.byCID[m.cid] = &m
	}
	for _, f := range r.facts {
		if f.at <= n {
			k.facts = append(k.facts, fact{f.what, 0, f.holds})
		}
	}
	return k
}

// stored returns the messages that are in the store. From now on they count as
// acknowledged: others may have read them, too.
func (r *diskRun) stored() (l []*sentMessage) {
	r.t.Helper()
	log, err := (&image{DB: r.DB}).logs()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range r.sent {
		if got, ok := log[messageID{m.sender, m.cid}]; ok {
			if !m.acked {
				m.acked, m.at, m.conv, m.seq = true, r.disk.Len(), got.Conv, got.Seq
			}
			l = append(l, m)
		}
	}
	return l
}

// A process is killed between writing a commit and syncing it. The next process finds
// the messages, lets others read them, and acknowledges them when they are sent again.
// A power cut must not take them away, even if nothing else was written.
func TestKillThenPowerCut(t *testing.T) {
	seed := diskSeed(t)
	r := preparedRun(t, seed, "full", faultvfs.None)
	r.rounds(0, 20)
	rng, step := rand.New(rand.NewPCG(seed, 4)), 50
	if diskTime(t) > 0 {
		step = 4
	}
	for at := r.ready + rng.IntN(step); at <= r.disk.Len(); at += 1 + rng.IntN(step) {
		t.Run(fmt.Sprint(at), func(t *testing.T) {
			k := r.killed(t, at, seed, faultvfs.None)
			if l := k.stored(); len(l) > 0 && rng.IntN(2) == 0 {
				k.await(k.pass(true, l...)...)
			}
			if len(k.odd) > 0 {
				t.Fatal(k.odd[0])
			}
			replay := k.disk.Replay()
			for range 2 {
				if err := k.cut(replay, k.disk.Len(), rng); err != nil {
					t.Fatalf("seed %d, killed after operation %d: %v", seed, at, err)
				}
			}
		})
		if t.Failed() {
			return
		}
	}
}

// Both attempts to sync a commit fail, so its messages fail, and the process is killed.
// The next process finds the messages, because Linux still has the pages, and
// acknowledges them. But Linux doesn't write pages again whose sync has failed, even if
// later syncs succeed. A power cut must not take them away all the same, nor any
// message that is stored after them.
func TestFailedSyncThenKill(t *testing.T) {
	seed := diskSeed(t)
	rng := rand.New(rand.NewPCG(seed, 5))
	step := 15
	if diskTime(t) > 0 {
		step = 1
	}
	for after := rng.IntN(step); after < 25; after += 1 + rng.IntN(step) {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			if err := failedSyncThenKill(t, seed, after, faultvfs.None, rng); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		})
	}
}

// failedSyncThenKill makes all syncs of the log fail after some, kills the process, and
// checks what power cuts leave of the next one's work.
func failedSyncThenKill(t *testing.T, seed uint64, after int, bug faultvfs.Bug, rng *rand.Rand) error {
	t.Helper()
	r := preparedRun(t, seed, "full", faultvfs.None)
	r.rounds(0, 3)
	r.disk.Inject(faultvfs.Fault{On: faultvfs.Sync, File: "-wal", After: after})
	var failed []*sentMessage
	for i := 0; len(failed) == 0; i++ {
		failed, _ = r.round(3 + i)
	}
	k := r.killed(t, r.disk.Len(), seed, bug)
	k.await(k.pass(true, k.stored()...)...)
	cuts := []int{k.disk.Len()}
	for i := range 2 {
		k.rounds(i, i+1)
		cuts = append(cuts, k.disk.Len())
	}
	replay := k.disk.Replay()
	for _, at := range cuts {
		if err := k.cut(replay, at, rng); err != nil {
			return err
		}
	}
	return nil
}

// TestFailedSyncThenKill finds a walwriter that takes what is in memory for what the
// disk has.
func TestFailedSyncFindsBug(t *testing.T) {
	seed := diskSeed(t)
	rng := rand.New(rand.NewPCG(seed, 8))
	for after := range 30 {
		var err error
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			err = failedSyncThenKill(t, seed, after, faultvfs.NeverEvicts, rng)
		})
		if err != nil {
			t.Logf("found in run %d: %v", after, err)
			return
		}
	}
	t.Errorf("seed %d: thirty runs found nothing, want an error", seed)
}

// TestPowerCut finds servers that break the promise: each of these loses
// acknowledged messages, or reports them before they are safe.
func TestPowerCutFindsBugs(t *testing.T) {
	seed := diskSeed(t)
	for _, tc := range []struct {
		name, sync string
		first      int // operation before the first power cut: earlier ones find nothing
		bug        faultvfs.Bug
		prepare    func(r *diskRun)
	}{
		{"synchronous=NORMAL", "normal", 9, faultvfs.None, nil},
		{"sync is skipped", "full", 2, faultvfs.SkipsSync, nil},
		{"sync before write", "full", 3, faultvfs.SyncsFirst, nil},
		{"written with the next commit", "full", 3, faultvfs.WritesLate, nil},
		{"acknowledged before the commit", "full", 6, faultvfs.None, acknowledgeFirst},
		{"error of sync ignored", "full", 12, faultvfs.None, func(r *diskRun) {
			r.disk.Inject(faultvfs.Fault{On: faultvfs.Sync, File: "-wal", After: 5, Times: 1, Silent: true})
		}},
		{"error of write ignored", "full", 12, faultvfs.None, func(r *diskRun) {
			r.disk.Inject(faultvfs.Fault{On: faultvfs.Write, File: "-wal", After: 5, Times: 1, Silent: true})
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := preparedRun(t, seed, tc.sync, tc.bug)
			if tc.prepare != nil {
				tc.prepare(r)
			}
			r.rounds(0, 6)
			replay, rng := r.disk.Replay(), rand.New(rand.NewPCG(seed, 3))
			n := 0
			for at := r.ready + tc.first; at <= r.disk.Len(); at++ {
				n++
				if err := r.cut(replay, at, rng); err != nil {
					t.Logf("found by power cut %d: %v", n, err)
					return
				}
			}
			t.Errorf("seed %d: %d power cuts found nothing, want an error", seed, n)
		})
	}
}

// acknowledgeFirst makes the store pass messages to the sink before it commits them.
func acknowledgeFirst(r *diskRun) {
	sunk := make(chan struct{}, 1)
	r.harness.mu.Lock()
	r.tell = func(batch []*Append) {
		r.sunkNow(batch)
		sunk <- struct{}{}
	}
	r.harness.mu.Unlock()
	r.commits(func(tx *sql.Tx) error {
		go func() {
			<-sunk
			if err := tx.Commit(); err != nil {
				r.t.Error(err)
			}
		}()
		return nil
	})
}
