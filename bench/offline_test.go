package main

import (
	"bytes"
	"strings"
	"testing"

	"chatd/bench/benchtest"
	"chatd/proto"
)

// Every user gets everything. The fake server sends the first two messages in
// LOGIN_ACK and the rest as pushes.
func TestOfflineLies(t *testing.T) {
	altered := benchtest.Changed(func(r *proto.Response) { r.Msg = bytes.ToUpper(r.Msg) })
	for _, c := range []struct {
		name      string
		push, ack func(int64, proto.Response) []proto.Response
		says      string
	}{
		{"the truth", nil, nil, "faults: 0"},
		{"first lost", benchtest.At(1, benchtest.Drop), nil, "2 came after 0: 1 missing"},
		{"second lost", benchtest.At(2, benchtest.Drop), nil, "3 came after 1: 1 missing"},
		{"push lost", benchtest.At(7, benchtest.Drop), nil, "8 came after 6: 1 missing"},
		{"last lost", benchtest.At(messages, benchtest.Drop), nil, "1 messages still missing"},
		{"first twice", benchtest.At(1, benchtest.Twice), nil, "1 came twice"},
		{"push twice", benchtest.At(7, benchtest.Twice), nil, "7 came twice"},
		{"last twice", benchtest.At(messages, benchtest.Twice), nil, "20 came twice"},
		{"swapped", benchtest.Swap(7, true), nil, "7 came after 8"},
		{"texts swapped", benchtest.Swap(7, false), nil, "the sender's order is not kept"},
		{"first altered", benchtest.At(1, altered), nil, "altered"},
		{"push altered", benchtest.At(7, altered), nil, "altered"},
		{"last altered", benchtest.At(messages, altered), nil, "altered"},
		{"of somebody else", benchtest.At(messages, benchtest.Changed(func(r *proto.Response) { r.ID += 100 })), nil, "which nobody has sent"},
		{"not acknowledged", nil, benchtest.At(messages, benchtest.Drop), "1 answers still missing"},
		{"acknowledged with another cid", nil, benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.CID = []byte("other") })), "an answer to nothing"},
		{"not stored", nil, benchtest.At(7, benchtest.Changed(func(r *proto.Response) { r.Errno = proto.Unavailable })), "errno 10"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			f := benchtest.NewFakeServer(t)
			f.Push, f.Ack = c.push, c.ack
			code, stdout, stderr := chatbench(t, "offline", "--addr", f.Addr(), "--users", "1", "--messages", "20", "--senders", "1",
				"--patience", "500ms")
			want := exitFailure
			if c.says == "faults: 0" {
				want = exitOK
			}
			if code != want || !strings.Contains(stdout, c.says) {
				t.Errorf("exit code %d, want %d and %q\n%s%s", code, want, c.says, stdout, stderr)
			}
		})
	}
}

// Refused messages are sent again, so everyone gets as many as asked for.
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
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	if seq != 20 || len(f.Users[0].Missed) != 0 {
		t.Errorf("%d messages stored and %d not receipted, want 20 and none", seq, len(f.Users[0].Missed))
	}
}
