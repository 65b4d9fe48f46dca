package daemon

import (
	"context"
	"log/slog"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	lookEvery = 5 * time.Second
	trimEvery = time.Minute // at most, in one time of quiet
	// A node is quiet while it allocates no more than this share of its live
	// heap between two looks, and has something to give back from that share on.
	quietShare = 8
	spareShare = 4
)

// trim gives memory back to the system once a node has become quiet. Go keeps
// room for as much garbage as there is live heap, and a quiet node has no
// garbage: of many idle connections it would be half of what each takes. It
// looks again and again until ctx ends.
func trim(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	before, trimmed := readHeap(), time.Time{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := readHeap()
		quiet := now.allocated-before.allocated <= now.live/quietShare
		if quiet && time.Since(trimmed) > trimEvery && now.spare > now.live/spareShare {
			debug.FreeOSMemory() // also collects; other goroutines go on meanwhile
			trimmed = time.Now()
			log.Debug("quiet: memory was given back", "live", now.live, "spare", now.spare)
		} else if !quiet {
			trimmed = time.Time{} // the next quiet has something to give at once
		}
		before = now
	}
}

// heap is what is known of Go's heap, in bytes.
type heap struct {
	allocated uint64 // ever
	live      uint64 // after the last collection
	spare     uint64 // resident, and neither live nor given back
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
