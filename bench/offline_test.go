package main

import (
	"bytes"
	"strings"
	"testing"

	"chatd/proto"
)

// Whoever comes back must have everything: of the backlog, the fake sends the
// first two in LOGIN_ACK and the rest as pushes.
func TestOfflineLies(t *testing.T) {
	altered := changed(func(r *proto.Response) { r.Msg = bytes.ToUpper(r.Msg) })
	for _, c := range []struct {
		name      string
		push, ack func(int64, proto.Response) []proto.Response
		says      string
	}{
		{"the truth", nil, nil, "faults: 0"},
		{"first lost", at(1, drop), nil, "2 came after 0: 1 missing"},
		{"second lost", at(2, drop), nil, "3 came after 1: 1 missing"},
		{"push lost", at(7, drop), nil, "8 came after 6: 1 missing"},
		{"last lost", at(messages, drop), nil, "1 messages still missing"},
		{"first twice", at(1, twice), nil, "1 came twice"},
		{"push twice", at(7, twice), nil, "7 came twice"},
		{"last twice", at(messages, twice), nil, "20 came twice"},
		{"swapped", swap(7, true), nil, "7 came after 8"},
		{"texts swapped", swap(7, false), nil, "the sender's order is not kept"},
		{"first altered", at(1, altered), nil, "altered"},
		{"push altered", at(7, altered), nil, "altered"},
		{"last altered", at(messages, altered), nil, "altered"},
		{"of somebody else", at(messages, changed(func(r *proto.Response) { r.ID += 100 })), nil, "which nobody has sent"},
		{"not acknowledged", nil, at(messages, drop), "1 answers still missing"},
		{"acknowledged with another cid", nil, at(7, changed(func(r *proto.Response) { r.CID = []byte("other") })), "an answer to nothing"},
		{"not stored", nil, at(7, changed(func(r *proto.Response) { r.Errno = proto.Unavailable })), "errno 10"},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			f := newFake(t)
			f.push, f.ack = c.push, c.ack
			code, stdout, stderr := chatbench(t, "offline", "--addr", f.addr(), "--users", "1", "--messages", "20", "--senders", "1",
				"--patience", "500ms")
			want := exitBad
			if c.says == "faults: 0" {
				want = exitGood
			}
			if code != want || !strings.Contains(stdout, c.says) {
				t.Errorf("exit code %d, want %d and %q\n%s%s", code, want, c.says, stdout, stderr)
			}
		})
	}
}

// What a busy server refuses is sent again: in the end all have as much as
// was asked for.
func TestOfflinePauses(t *testing.T) {
	f := newFake(t)
	var seq int64 // what was refused has none
	f.push = func(n int64, r proto.Response) []proto.Response {
		if n == 1 || n == 7 {
			return nil
		}
		seq++
		r.Seq = seq
		return []proto.Response{r}
	}
	f.ack = func(n int64, r proto.Response) []proto.Response {
		r.Seq = seq
		if n == 1 || n == 7 {
			r.Errno, r.RetryAfter = proto.TooFast, 5
		}
		return []proto.Response{r}
	}
	code, stdout, stderr := chatbench(t, "offline", "--addr", f.addr(), "--users", "1", "--messages", "20", "--senders", "1")
	if code != exitGood || !strings.Contains(stdout, "refused with errno 9: 2") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if seq != 20 || len(f.users[0].missed) != 0 {
		t.Errorf("%d messages stored and %d not receipted, want 20 and none", seq, len(f.users[0].missed))
	}
}
