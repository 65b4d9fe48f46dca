package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"chatd/bench/benchtest"
	"chatd/proto"
)

// Each of 4 users logs in once after registration. The 5th login is the first
// one that is measured.
const firstMeasured = 5

// chatbench login notices a server that mixes up users or tokens.
func TestLoginBrokenServer(t *testing.T) {
	for _, c := range []struct {
		name, by string
		welcome  func(int64, proto.Response) []proto.Response
		want     string // part of the output
	}{
		{"correct", "token", nil, "faults: 0"},
		{"another user", "token", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.ID++ })), "logged in user"},
		{"another user by password", "password", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.ID++ })), "logged in user"},
		{"another token", "token", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.Token = "0" })), "changed the token"},
		{"a new token by password", "password", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.Token = "0" })), "faults: 0"},
		{"refused", "token", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.Errno = proto.Refused })), "errno 1"},
		{"kicked", "token", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.Op, r.Reason = proto.KICK, proto.Abuse })), `KICK "abuse"`},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			f := benchtest.NewFakeServer(t)
			f.Welcome = c.welcome
			code, stdout, stderr := chatbench(t, "login", "--addr", f.Addr(), "--by", c.by, "--users", "4", "--at-a-time", "2", "--duration", "1ns")
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

// A server may refuse logins as too fast. Users then wait and retry, and the
// report counts the refusals.
func TestLoginRetryAfter(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	f.Welcome = func(n int64, r proto.Response) []proto.Response {
		if n >= firstMeasured && n%2 == 1 {
			r.Errno, r.RetryAfter = proto.TooFast, 1
		}
		return []proto.Response{r}
	}
	code, stdout, stderr := chatbench(t, "login", "--addr", f.Addr(), "--users", "4", "--at-a-time", "1", "--duration", "1ns")
	if code != exitOK || !strings.Contains(stdout, "refused with errno 9: 1") {
		t.Errorf("exit code %d, want %d and 1 refusal; output:\n%s%s", code, exitOK, stdout, stderr)
	}
}

// The measured time starts when every user has read its share of the history.
func TestLoginHistory(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	stored := make(map[int64]int) // by receiver
	f.Push = func(_ int64, r proto.Response) []proto.Response {
		stored[r.ToID]++
		return []proto.Response{r}
	}
	code, stdout, stderr := chatbench(t, "login", "--addr", f.Addr(), "--users", "4", "--at-a-time", "2", "--history", "46", "--duration", "1ns")
	if code != exitOK || !strings.Contains(stdout, "faults: 0") {
		t.Errorf("exit code %d, want %d and no faults; output:\n%s%s", code, exitOK, stdout, stderr)
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	// Users register in any order.
	if got := slices.Sorted(maps.Values(stored)); !slices.Equal(got, []int{11, 11, 12, 12}) {
		t.Errorf("messages by user = %v, want 11, 11, 12 and 12", got)
	}
	for _, u := range f.Users {
		if len(u.Missed) > 0 {
			t.Errorf("user %d sent no receipt for %d messages, want receipts for all", u.Id, len(u.Missed))
		}
	}
}

// chatbench login notices a lost message of the history.
func TestLoginHistoryLost(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	f.Push = benchtest.At(2, benchtest.Drop)
	code, stdout, stderr := chatbench(t, "login", "--addr", f.Addr(), "--users", "1", "--at-a-time", "1", "--history", "30", "--duration", "1ns")
	if code != exitFailure || !strings.Contains(stdout, "3 came after 1: 1 missing") {
		t.Errorf("exit code %d, want %d and the missing message; output:\n%s%s", code, exitFailure, stdout, stderr)
	}
}
