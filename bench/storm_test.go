package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/bench/benchtest"
	"chatd/bench/report"
	"chatd/proto"
)

// chatbench storm notices whatever the pairs or the reconnecting users lose.
func TestStormBrokenServer(t *testing.T) {
	for _, c := range []struct {
		name          string
		push, welcome func(int64, proto.Response) []proto.Response
		want          string // part of the output
	}{
		{"correct", nil, nil, "faults: 0"},
		{"push lost", benchtest.At(7, benchtest.Drop), nil, "8 came after 6: 1 missing"},
		{"push twice", benchtest.At(7, benchtest.Twice), nil, "7 came twice"},
		{"pushes swapped", benchtest.Swap(7, true), nil, "7 came after 8"},
		{"text altered", benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.Msg = bytes.ToUpper(r.Msg) })), nil, "altered"},
		// Logins 1 to 8: 3 users register and log in again, then the pair logs in.
		{"another user is back", nil, benchtest.At(9, benchtest.Changed(func(r *proto.Response) { r.ID++ })), "logged in user"},
		{"not back", nil, benchtest.At(9, benchtest.Changed(func(r *proto.Response) { r.Errno = proto.Refused })), "errno 1"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			f := benchtest.NewFakeServer(t)
			f.Push, f.Welcome = c.push, c.welcome
			// At least 20 messages are due before the cut.
			code, stdout, stderr := chatbench(t, "storm", "--addr", f.Addr(), "--conns", "3", "--at-a-time", "1",
				"--chatting", "1", "--rate", "1000", "--duration", "200ms")
			wantCode := exitFailure
			if c.want == "faults: 0" {
				wantCode = exitOK
			}
			if code != wantCode || !strings.Contains(stdout, c.want) {
				t.Errorf("exit code %d, want %d and the output %q; output:\n%s%s", code, wantCode, c.want, stdout, stderr)
			}
		})
	}
}

// While the server stalls, all messages that are due get late, although some
// are sent only afterwards. A closed loop would show one late message.
func TestStallShowsInLatencies(t *testing.T) {
	const stall = 50 * time.Millisecond
	f := benchtest.NewFakeServer(t)
	f.Push = benchtest.At(3, func(r proto.Response) []proto.Response {
		time.Sleep(stall) // nothing is answered meanwhile
		return []proto.Response{r}
	})
	code, stdout, stderr := chatbench(t, "storm", "--addr", f.Addr(), "--conns", "3", "--at-a-time", "1",
		"--chatting", "1", "--rate", "1000", "--duration", "200ms", "--json", "-")
	var rep report.Report
	if err := json.Unmarshal([]byte(stdout), &rep); err != nil || code != exitOK {
		t.Fatalf("exit code %d, error of the report's JSON %v; want %d and none\n%s%s", code, err, exitOK, stdout, stderr)
	}
	late := 0.0
	for _, l := range rep.Latencies {
		i := slices.IndexFunc(l.Curve, func(p report.CurvePoint) bool { return p.Us >= stall.Microseconds()/2 })
		if i >= 0 && strings.HasPrefix(l.Name, "end to end") {
			late += float64(l.Count) * (100 - l.Curve[i].Percentile) / 100
		}
	}
	if late < 10 {
		t.Errorf("%.0f messages were late, want at least 10: %+v", late, rep.Latencies)
	}
}
