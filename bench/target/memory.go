package target

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"chatd/bench/report"
)

const (
	httpTimeout = 30 * time.Second
	maxPage     = 16 << 20
	stableFor   = 6 * time.Second  // how long memory must stay the same
	stableLimit = 20 * time.Second // how long to wait for that
	stablePoll  = 250 * time.Millisecond
)

// httpGet reads a page of a node.
func httpGet(ctx context.Context, node, page string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, httpTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, node+page, nil)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true} // no connection must be left on the server
	answer, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s%s: %s", node, page, answer.Status)
	}
	return io.ReadAll(io.LimitReader(answer.Body, maxPage))
}

// Memory returns what the server uses after a garbage collection, once its
// resident memory is stable. The live heap is that of all nodes, 0 if unknown.
// It blocks for seconds.
func (s *Server) Memory(ctx context.Context, rep *report.Report) (u Usage, heap int64, err error) {
	if len(s.httpURLs) < len(s.addrs) {
		rep.AddNote("the server's HTTP address is unknown (--http): its garbage was not collected before its memory was read")
	} else if heap, err = s.collect(ctx); err != nil {
		return Usage{}, 0, err
	}
	end, since := time.Now().Add(stableLimit), time.Now()
	for {
		now, err := s.readUsage()
		if err != nil {
			return Usage{}, 0, fmt.Errorf("read the server's memory: %w", err)
		}
		if u.Total == nil || now.Total.RSS < u.Total.RSS-u.Total.RSS/200 || now.Total.RSS > u.Total.RSS+u.Total.RSS/200 {
			u, since = now, time.Now()
		}
		if time.Since(since) >= stableFor || time.Now().After(end) {
			return now, heap, nil
		}
		select {
		case <-time.After(stablePoll):
		case <-ctx.Done():
			return Usage{}, 0, ctx.Err()
		}
	}
}

// collect makes all nodes collect garbage and returns their total live heap.
func (s *Server) collect(ctx context.Context) (heap int64, err error) {
	for _, node := range s.httpURLs {
		for range 2 { // finalizers and pools keep some objects until the second collection
			if _, err := httpGet(ctx, node, "/debug/pprof/heap?gc=1"); err != nil {
				return 0, fmt.Errorf("trigger the server's garbage collection: %w", err)
			}
		}
		page, err := httpGet(ctx, node, "/metrics")
		if err != nil {
			return 0, fmt.Errorf("read the server's heap: %w", err)
		}
		heap += metricValue(page, "go_memstats_heap_alloc_bytes")
	}
	return heap, nil
}

// metricValue returns the value of a metric from a /metrics page, or 0 if it is
// missing.
func metricValue(page []byte, name string) int64 {
	for line := range strings.Lines(string(page)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0
			}
			return int64(v)
		}
	}
	return 0
}
