package daemon

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// limitMemory sets the size below which the Go runtime tries to stay: it collects
// garbage more often when it comes near. It returns the limit in bytes, or 0 if there
// is none. SQLite's caches and the kernel's buffers of sockets aren't part of it, so a
// quarter of a container's memory is left to them. If a limit is too low to be kept,
// the runtime exceeds it.
func limitMemory(setting int, log *slog.Logger) int64 {
	limit := int64(setting)
	if limit == 0 {
		if os.Getenv("GOMEMLIMIT") != "" {
			limit = debug.SetMemoryLimit(-1) // the runtime has read the variable
			if limit == math.MaxInt64 {
				return 0
			}
			return limit
		}
		container, err := memlimit.FromCgroup()
		switch {
		case errors.Is(err, memlimit.ErrNoLimit), errors.Is(err, memlimit.ErrNoCgroup), errors.Is(err, memlimit.ErrCgroupsNotSupported):
			return 0
		case err != nil:
			log.Warn("can't read the memory limit of the container; set --memory", "err", err)
			return 0
		case container > math.MaxInt64/4:
			return 0
		}
		limit = max(int64(container)*3/4, minMemory)
	}
	debug.SetMemoryLimit(limit)
	return limit
}

const (
	checkMemoryEvery  = 5 * time.Second
	returnMemoryEvery = time.Minute // at most, in one quiet period
	// A node is quiet if it allocates less than 1/quietShare of its live heap
	// between two checks. Memory is returned if more than 1/spareShare of the
	// live heap is spare.
	quietShare = 8
	spareShare = 4
)

// returnMemory returns memory to the system when the node is quiet, until ctx
// ends. Go reserves as much memory for garbage as the live heap takes, and a
// quiet node has no garbage: with many idle connections the reserve would be
// half of the memory of each.
func returnMemory(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(checkMemoryEvery)
	defer tick.Stop()
	before, returned := readHeap(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := readHeap()
		quiet := now.allocated-before.allocated <= now.live/quietShare
		if quiet && time.Since(returned) > returnMemoryEvery && now.spare > now.live/spareShare {
			debug.FreeOSMemory() // collects garbage as well; other goroutines keep running
			returned = time.Now()
			log.Debug("node is quiet: returned memory to the system", "live", now.live, "spare", now.spare)
		} else if !quiet {
			returned = time.Time{} // return memory at once in the next quiet period
		}
		before = now
	}
}

// heap is the state of Go's heap, in bytes.
type heap struct {
	allocated uint64 // since the start
	live      uint64 // after the last collection
	spare     uint64 // resident, but neither live nor returned
}

func readHeap() heap {
	s := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(s)
	h := heap{allocated: s[0].Value.Uint64(), live: s[1].Value.Uint64()}
	if all := s[2].Value.Uint64() + s[3].Value.Uint64() + s[4].Value.Uint64(); all > h.live {
		h.spare = all - h.live
	}
	return h
}
