package main

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"

	"chatd/bench/benchtest"
	"chatd/proto"
)

const messages = 20 // of a run against the fake server

// chatbench notices every broken promise: the run fails if the server loses,
// repeats, reorders or changes a single message, or sends a wrong
// ACK.
func TestBrokenPromisesFailTheRun(t *testing.T) {
	last := int64(messages)
	altered := benchtest.Changed(func(r *proto.Response) {
		r.Msg, r.Data = bytes.ToUpper(r.Msg), bytes.ToUpper(r.Data)
	})
	for _, c := range []struct {
		name, scenario string
		push, ack      func(int64, proto.Response) []proto.Response
		want           string // part of the output
	}{
		{"push lost", "stream", benchtest.At(7, benchtest.Drop), nil, "8 came after 6: 1 missing"},
		{"last push lost", "stream", benchtest.At(last, benchtest.Drop), nil, "1 pushes still missing"},
		{"push twice", "stream", benchtest.At(7, benchtest.Twice), nil, "7 came twice"},
		{"last push twice", "stream", benchtest.At(last, benchtest.Twice), nil, "20 came twice"},
		{"pushes swapped", "stream", benchtest.Swap(7, true), nil, "7 came after 8"},
		{"texts swapped", "stream", benchtest.Swap(7, false), nil, "out of order"},
		{"seq skipped", "stream", benchtest.At(last, benchtest.Changed(func(r *proto.Response) { r.Seq++ })), nil, "21 came after 19: 1 missing"},
		{"text altered", "stream", benchtest.At(7, altered), nil, "altered"},
		{"from another user", "stream", benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.ID += 100 })), nil, "altered"},
		{"acknowledged twice", "stream", nil, benchtest.At(7, benchtest.Twice), "7 came twice"},
		{"not acknowledged", "stream", nil, benchtest.At(last, benchtest.Drop), "1 answers still missing"},
		{"acknowledged with a gap", "stream", nil, benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.Seq += 5 })), "5 missing"},
		{"acknowledged with another cid", "stream", nil, benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.CID = []byte("other") })), "that it never sent"},
		{"not stored", "stream", benchtest.At(7, benchtest.Drop), benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.Errno = proto.Unavailable })), "errno 10"},
		{"kicked", "stream", benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.Op, r.Reason = proto.KICK, proto.Slow })), nil, `KICK "slow"`},
		{"event lost", "event", benchtest.At(7, benchtest.Drop), nil, "8 came after 6: 1 missing"},
		{"last event lost", "event", benchtest.At(last, benchtest.Drop), nil, "1 events still missing"},
		{"event twice", "event", benchtest.At(7, benchtest.Twice), nil, "7 came twice"},
		{"last event twice", "event", benchtest.At(last, benchtest.Twice), nil, "20 came twice"},
		{"events swapped", "event", benchtest.Swap(7, true), nil, "7 came after 8"},
		{"event altered", "event", benchtest.At(7, altered), nil, "altered"},
		{"group push lost", "fanout", benchtest.At(7, benchtest.Drop), nil, "8 came after 6: 1 missing"},
		{"last group push lost", "fanout", benchtest.At(last, benchtest.Drop), nil, "1 pushes still missing"},
		{"group push twice", "fanout", benchtest.At(7, benchtest.Twice), nil, "7 came twice"},
		{"last group push twice", "fanout", benchtest.At(last, benchtest.Twice), nil, "20 came twice"},
		{"group pushes swapped", "fanout", benchtest.Swap(7, true), nil, "7 came after 8"},
		{"group texts swapped", "fanout", benchtest.Swap(7, false), nil, "out of order"},
		{"group text altered", "fanout", benchtest.At(7, altered), nil, "altered"},
		{"group push from another user", "fanout", benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.ID += 100 })), nil, "altered"},
		{"group push for another group", "fanout", benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.GroupID++ })), nil, "altered"},
		{"group message not acknowledged", "fanout", nil, benchtest.At(last, benchtest.Drop), "1 answers still missing"},
		{"group message acknowledged with a gap", "fanout", nil, benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.Seq += 5 })), "5 missing"},
		{"group push lost, two senders", "fanout --senders 2", benchtest.At(3, benchtest.Drop), nil, "missing"},
		{"own message pushed", "fanout --senders 2 --members 2", benchtest.At(3, benchtest.Changed(func(r *proto.Response) { r.ID = 3 - r.ID })), nil, "altered"},
		{"group event lost", "fanout --kind event", benchtest.At(7, benchtest.Drop), nil, "8 came after 6: 1 missing"},
		{"last group event lost", "fanout --kind event", benchtest.At(last, benchtest.Drop), nil, "1 events still missing"},
		{"group event twice", "fanout --kind event", benchtest.At(7, benchtest.Twice), nil, "7 came twice"},
		{"group event altered", "fanout --kind event", benchtest.At(7, altered), nil, "altered"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			f := benchtest.NewFakeServer(t)
			f.Push, f.Ack = c.push, c.ack
			// All messages are in flight at once, so a short --patience is
			// enough.
			args := strings.Fields(c.scenario + " --window 4 --count 20 --patience 500ms --addr " + f.Addr())
			switch {
			case args[0] != "fanout":
				args = append(args, "--pairs", "1")
			case !slices.Contains(args, "--members"):
				args = append(args, "--members", "3")
			}
			code, stdout, stderr := chatbench(t, args...)
			if code != exitFailure || !strings.Contains(stdout, c.want) {
				t.Errorf("exit code %d, want %d and the output %q; output:\n%s%s", code, exitFailure, c.want, stdout, stderr)
			}
		})
	}
}

// A run against a correct server succeeds.
func TestCorrectServerPasses(t *testing.T) {
	for _, args := range []string{
		"stream --pairs 3", "event --pairs 3", "stream --pairs 3 --rate 5000", "event --pairs 3 --rate 5000",
		"fanout --members 4", "fanout --members 4 --senders 3", "fanout --members 2 --senders 2", "fanout --members 4 --rate 5000",
		"fanout --members 4 --kind event", "fanout --members 4 --senders 3 --kind event", "fanout --members 4 --kind event --rate 5000",
	} {
		t.Run(args, func(t *testing.T) {
			f := benchtest.NewFakeServer(t)
			code, stdout, stderr := chatbench(t, append(strings.Fields(args), "--addr", f.Addr(), "--window", "4", "--count", "20")...)
			if code != exitOK || !strings.Contains(stdout, "faults: 0") {
				t.Errorf("exit code %d, want %d and no faults; output:\n%s%s", code, exitOK, stdout, stderr)
			}
		})
	}
}

// A server may refuse messages as too fast. Senders then wait and continue, the
// report counts the refusals, and the refused messages don't count as missing.
func TestRetryAfter(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	var seq int64 // refused messages have none
	tooFast := []int64{1, 7, messages}
	f.Push = func(n int64, r proto.Response) []proto.Response {
		if slices.Contains(tooFast, n) {
			return nil
		}
		seq++
		r.Seq = seq
		return []proto.Response{r}
	}
	f.Ack = func(n int64, r proto.Response) []proto.Response {
		r.Seq = seq
		if slices.Contains(tooFast, n) {
			r.Errno, r.RetryAfter = proto.TooFast, 5
		}
		return []proto.Response{r}
	}
	code, stdout, stderr := chatbench(t, "stream", "--addr", f.Addr(), "--pairs", "1", "--window", "4", "--count", "20")
	if code != exitOK || !strings.Contains(stdout, "refused with errno 9: 3") {
		t.Errorf("exit code %d, want %d and 3 refusals; output:\n%s%s", code, exitOK, stdout, stderr)
	}
}

// chatbench runs one command line.
func chatbench(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(context.Background(), args, &out, &errs, io.Discard)
	return code, out.String(), errs.String()
}
