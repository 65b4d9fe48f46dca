package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"chatd/bench/benchtest"
	"chatd/bench/report"
	"chatd/proto"
)

// A server that stalls for a tenth of a second delays everything due meanwhile.
// Half of the messages must show it, whether they were in flight or had no room
// in the window. In a closed loop, only the messages in flight would be slow. The
// bounds are lower bounds: a slow machine only adds to the latencies.
func TestStalledServer(t *testing.T) {
	for _, window := range []string{"64", "1"} {
		f := benchtest.NewFakeServer(t)
		f.Ack = benchtest.At(10, func(r proto.Response) []proto.Response {
			time.Sleep(100 * time.Millisecond) // the stall
			return []proto.Response{r}
		})
		code, stdout, stderr := chatbench(t, "stream", "--addr", f.Addr(), "--pairs", "1", "--window", window,
			"--rate", "1000", "--count", "60", "--json", "-")
		var rep report.Report
		if err := json.Unmarshal([]byte(stdout), &rep); err != nil || code != exitOK {
			t.Fatalf("exit code %d, error of the report's JSON %v; want %d and none\n%s%s", code, err, exitOK, stdout, stderr)
		}
		for _, l := range rep.Latencies {
			if l.Name == "ack" && (l.Count != 60 || l.P50 < 50_000) {
				t.Errorf("window %s: ack latencies %+v, want 60 with a median above 50 ms", window, l)
			}
		}
		if held := strings.Contains(strings.Join(rep.Notes, "\n"), "had to wait for room"); held != (window == "1") {
			t.Errorf("window %s: notes %q mention waiting for room: %v, want %v", window, rep.Notes, held, window == "1")
		}
	}
}
