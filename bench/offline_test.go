package main

import (
	"bytes"
	"strings"
	"testing"

	"chatd/bench/benchtest"
	"chatd/proto"
)

// chatbench offline notices every message that a user doesn't get exactly once.
// The fake server sends the first two messages in LOGIN_ACK and the rest as
// pushes.
func TestOfflineBrokenServer(t *testing.T) {
	altered := benchtest.Changed(func(r *proto.Response) { r.Msg = bytes.ToUpper(r.Msg) })
	for _, c := range []struct {
		name      string
		push, ack func(int64, proto.Response) []proto.Response
		want      string // part of the output
	}{
		{"correct", nil, nil, "faults: 0"},
		{"first lost", benchtest.At(1, benchtest.Drop), nil, "2 came after 0: 1 missing"},
		{"second lost", benchtest.At(2, benchtest.Drop), nil, "3 came after 1: 1 missing"},
		{"push lost", benchtest.At(7, benchtest.Drop), nil, "8 came after 6: 1 missing"},
		{"last lost", benchtest.At(messages, benchtest.Drop), nil, "1 messages still missing"},
		{"first twice", benchtest.At(1, benchtest.Twice), nil, "1 came twice"},
		{"push twice", benchtest.At(7, benchtest.Twice), nil, "7 came twice"},
		{"last twice", benchtest.At(messages, benchtest.Twice), nil, "20 came twice"},
		{"swapped", benchtest.Swap(7, true), nil, "7 came after 8"},
		{"texts swapped", benchtest.Swap(7, false), nil, "out of order"},
		{"first altered", benchtest.At(1, altered), nil, "altered"},
		{"push altered", benchtest.At(7, altered), nil, "altered"},
		{"last altered", benchtest.At(messages, altered), nil, "altered"},
		{"from another user", benchtest.At(messages, benchtest.Changed(func(r *proto.Response) { r.ID += 100 })), nil, "which nobody sent"},
		{"not acknowledged", nil, benchtest.At(messages, benchtest.Drop), "1 answers still missing"},
		{"acknowledged with another cid", nil, benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.CID = []byte("other") })), "that it never sent"},
		{"not stored", nil, benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.Errno = proto.Unavailable })), "errno 10"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			f := benchtest.NewFakeServer(t)
			f.Push, f.Ack = c.push, c.ack
			code, stdout, stderr := chatbench(t, "offline", "--addr", f.Addr(), "--users", "1", "--messages", "20", "--senders", "1",
				"--patience", "500ms")
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

// Refused messages are resent, so every user gets as many as --messages says.
func TestOfflineRetryAfter(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	var seq int64 // refused messages have none
	f.Push = func(n int64, r proto.Response) []proto.Response {
		if n == 1 || n == 7 {
			return nil
		}
		seq++
		r.Seq = seq
		return []proto.Response{r}
	}
	f.Ack = func(n int64, r proto.Response) []proto.Response {
		r.Seq = seq
		if n == 1 || n == 7 {
			r.Errno, r.RetryAfter = proto.TooFast, 5
		}
		return []proto.Response{r}
	}
	code, stdout, stderr := chatbench(t, "offline", "--addr", f.Addr(), "--users", "1", "--messages", "20", "--senders", "1")
	if code != exitOK || !strings.Contains(stdout, "refused with errno 9: 2") {
		t.Errorf("exit code %d, want %d and 2 refusals; output:\n%s%s", code, exitOK, stdout, stderr)
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if seq != 20 || len(f.Users[0].Missed) != 0 {
		t.Errorf("%d messages stored and %d without a receipt, want 20 and 0", seq, len(f.Users[0].Missed))
	}
}
