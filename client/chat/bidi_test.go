package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"chatd/client"
	"chatd/proto"
)

// In line mode, names and texts from right to left don't reorder what stands next to
// them, and control characters are escaped, in every kind of line.
func TestLinesWithNamesFromRightToLeft(t *testing.T) {
	const name, other, text = "דוד 12", "مريم 34\u2069", "שלום (5) ה"
	var out, errs strings.Builder
	con, err := newConsole(strings.NewReader(""), &out, &errs, false)
	if err != nil {
		t.Fatal(err)
	}
	defer con.close()
	a := newApp(con, options{})
	if a.c, err = client.New(client.Config{Addrs: []string{"127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	defer a.c.Close()
	group := client.Group(5)
	a.open.Store(&group)
	at := time.Date(2026, 3, 4, 12, 0, 0, 0, time.Local)
	isolate := regexp.MustCompile("\u2068[^\u2068\u2069]*\u2069")
	for _, c := range []struct {
		print func()
		want  string // with □ for each isolated text
	}{
		{func() { a.onMessage(client.Message{Conv: client.User(2), From: 2, Name: name, Text: text, Time: at}) }, "2026-03-04 12:00:00 [2]□ said: □"},
		{func() { a.onMessage(client.Message{Conv: client.Group(5), From: 3, Name: other, Text: text, Time: at}) }, "group [5]5: 2026-03-04 12:00:00 [3]□ said: □"},
		{func() { a.onEvent(client.Event{Conv: client.Group(5), From: 2, Name: name, Kind: "typing"}) }, "[2]□ is typing in 5"},
		{func() { a.onChange(client.Change{Kind: client.FriendAdded, User: 2, Name: name}) }, "[2]□ is now your friend"},
		{func() { a.onChange(client.Change{Kind: client.MemberJoined, Group: 5, User: 3, Name: other}) }, "[3]□ joined group [5]5"},
		{func() { a.onChange(client.Change{Kind: client.MemberLeft, Group: 5, User: 3}) }, "[3]□ left group [5]5"},
		{func() { a.onChange(client.Change{Kind: client.UserBlocked, User: 2}) }, "[2]□ is now blocked"},
		{func() { a.showMember(proto.Member{ID: 7, Name: other, State: "online", Role: "normal"}) }, "  7 □ online normal"},
		{func() { con.print("removed: %d %s from %d %s", 7, name, 5, other) }, "removed: 7 □ from 5 □"},
		{func() { a.fail("couldn't send to %s: %s", name, "no") }, "error: couldn't send to □: no"},
	} {
		out.Reset()
		errs.Reset()
		c.print()
		if got := isolate.ReplaceAllString(out.String()+errs.String(), "□"); got != c.want+"\n" {
			t.Errorf("printed %q, want %q and a line end, with names for □", got, c.want)
		}
	}
}
