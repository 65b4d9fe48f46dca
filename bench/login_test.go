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

// A server that mixes up users or tokens never passes.
func TestLoginLies(t *testing.T) {
	for _, c := range []struct {
		name, by string
		welcome  func(int64, proto.Response) []proto.Response
		says     string
	}{
		{"the truth", "token", nil, "faults: 0"},
		{"another user", "token", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.ID++ })), "logged user"},
		{"another user by password", "password", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.ID++ })), "logged user"},
		{"another token", "token", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.Token = "0" })), "the token has changed"},
		{"a new token by password", "password", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.Token = "0" })), "faults: 0"},
		{"refused", "token", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.Errno = proto.Refused })), "errno 1"},
		{"kicked", "token", benchtest.At(firstMeasured, benchtest.Changed(func(r *proto.Response) { r.Op, r.Reason = proto.KICK, proto.Abuse })), `KICK "abuse"`},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			f := benchtest.NewFakeServer(t)
			f.Welcome = c.welcome
			code, stdout, stderr := chatbench(t, "login", "--addr", f.Addr(), "--by", c.by, "--users", "4", "--at-a-time", "2", "--duration", "1ns")
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

// A server that is too busy may refuse: users wait, and the report counts it.
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
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
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
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	f.Mu.Lock()
	defer f.Mu.Unlock()
	// Users registered in any order.
	if got := slices.Sorted(maps.Values(stored)); !slices.Equal(got, []int{11, 11, 12, 12}) {
		t.Errorf("the users got %v messages", got)
	}
	for _, u := range f.Users {
		if len(u.Missed) > 0 {
			t.Errorf("user %d has not receipted %d messages", u.Id, len(u.Missed))
		}
	}
}

// A lost message of the history is noticed.
func TestLoginHistoryLost(t *testing.T) {
	f := benchtest.NewFakeServer(t)
	f.Push = benchtest.At(2, benchtest.Drop)
	code, stdout, stderr := chatbench(t, "login", "--addr", f.Addr(), "--users", "1", "--at-a-time", "1", "--history", "30", "--duration", "1ns")
	if code != exitFailure || !strings.Contains(stdout, "3 came after 1: 1 missing") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}
