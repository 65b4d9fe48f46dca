package tui

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"chatd/client"
	"chatd/client/chat/text"
)

// noon is the time that messages of tests are relative to.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.Local)

func said(seq, from int64, s string) client.Message {
	return client.Message{Conv: client.User(2), Seq: seq, From: from, Name: fmt.Sprint("user", from), Text: s,
		Time: noon.Add(time.Duration(seq) * time.Second)}
}

// pageOf returns a page with the messages from and to, of a conversation that
// has those from first to last.
func pageOf(first, last int64, more bool, w pageKind, from, to int64) page {
	p := page{conv: client.User(2), kind: w, data: client.Page{First: first, Last: last, More: more}}
	for seq := from; seq <= to; seq++ {
		p.data.Messages = append(p.data.Messages, said(seq, 2, fmt.Sprint("text ", seq)))
	}
	return p
}

func newConversation() *conversation {
	return &conversation{id: client.User(2), name: "bob", first: 1, typing: make(map[int64]typist)}
}

// order returns a conversation's messages in order: the seq of a stored one, or
// w (pending), f (failed) or n (notice).
func order(c *conversation) string {
	var all []string
	for _, e := range c.messages {
		switch {
		case e.notice:
			all = append(all, "n")
		case e.failure != "":
			all = append(all, "f")
		case e.seq == 0:
			all = append(all, "w")
		default:
			all = append(all, fmt.Sprint(e.seq))
		}
	}
	return strings.Join(all, " ")
}

// TestConversationOrder checks that messages are in the order of their seq,
// each once, and pending ones last. They come as pages, pushes and
// acknowledgements, in any order.
func TestConversationOrder(t *testing.T) {
	c := newConversation()
	c.addNotice("before anything is loaded", noon)
	c.loading = true
	c.receive(said(7, 2, "while the page is loading"), 1)
	c.addPage(pageOf(1, 6, true, pageLast, 4, 6))
	c.receive(said(6, 2, "again"), 1)
	c.addPending(1, 1, "alice", "first", noon)
	c.addPending(2, 1, "alice", "second", noon)
	c.addPending(3, 1, "alice", "third", noon)
	c.addNotice("somebody has joined", noon)
	c.completeSend(1, client.Receipt{Seq: 9, Time: noon}, "")
	c.receive(said(8, 2, "overtaken"), 1)
	c.completeSend(2, client.Receipt{}, "blocked")
	c.addPage(pageOf(1, 9, false, pageOlder, 1, 4))
	if got, want := order(c), "1 2 3 4 5 6 7 n 8 9 f w"; got != want {
		t.Errorf("messages %s, want %s", got, want)
	}
	if c.last != 9 || c.read != 9 || c.unread() != 0 || c.pendingCount() != 1 || !c.hasFirst {
		t.Errorf("last %d, read %d, unread %d, pending %d, hasFirst %v; want 9, 9, 0, 1, true", c.last, c.read, c.unread(), c.pendingCount(), c.hasFirst)
	}
	bytes := 0
	for _, e := range c.messages {
		bytes += len(e.text)
	}
	if bytes != c.bytes {
		t.Errorf("bytes = %d, want %d, the length of all texts", c.bytes, bytes)
	}
}

// TestConversationBounds checks that the number of messages in memory is
// limited. Messages are dropped at the end that the user doesn't look at, and
// can be loaded again. Pending messages are never dropped.
func TestConversationBounds(t *testing.T) {
	c := newConversation()
	c.addPage(pageOf(1, 100, true, pageLast, 51, 100))
	c.addPending(1, 1, "alice", "waits", noon)
	if c.trim(10, 1<<20, true); order(c) != "92 93 94 95 96 97 98 99 100 w" || c.hasFirst {
		t.Errorf("trimmed at the top: %s, hasFirst %v; want 92 to 100 and w, false", order(c), c.hasFirst)
	}
	c.addPage(pageOf(1, 100, true, pageOlder, 82, 91))
	if c.trim(10, 1<<20, false); order(c) != "82 83 84 85 86 87 88 89 90 w" || !c.newerDropped {
		t.Errorf("trimmed at the bottom: %s, newerDropped %v; want 82 to 90 and w, true", order(c), c.newerDropped)
	}
	if c.receive(said(101, 2, "new"), 1); c.last != 101 || c.contains(101) {
		t.Errorf("message 101 arrived after newer ones were dropped: last %d, contains(101) %v; want 101, false", c.last, c.contains(101))
	}
	if c.addPage(pageOf(1, 101, false, pageNewer, 91, 101)); c.newerDropped || !c.contains(101) {
		t.Errorf("after the newest page: %s, newerDropped %v; want 101 included, false", order(c), c.newerDropped)
	}
	if c.trim(1000, 40, true); c.bytes > 40 {
		t.Errorf("trim to 40 bytes left %d bytes, want at most 40", c.bytes)
	}
	c.scroll.fromBottom = 5
	c.newerDropped = true
	if c.shrink(); order(c) != "w" || c.loaded || c.scroll.fromBottom != 0 {
		t.Errorf("after shrink: %s, loaded %v, %d rows from the end; want only w, false, 0", order(c), c.loaded, c.scroll.fromBottom)
	}
}

// TestUnread checks the number of unread messages, also after another device of
// the user sent one, and after the user left the group.
func TestUnread(t *testing.T) {
	c := newConversation()
	c.first = 5 // joined after four messages
	c.last = 7
	if c.unread() != 3 {
		t.Errorf("unread() = %d, want 3", c.unread())
	}
	c.receive(said(8, 1, "sent from another device"), 1)
	if c.unread() != 0 {
		t.Errorf("unread() = %d after a message from the user's other device, want 0", c.unread())
	}
	c.receive(said(9, 2, "more"), 1)
	if c.notMember = true; c.unread() != 0 {
		t.Errorf("unread() = %d in a group that the user left, want 0", c.unread())
	}
}

// rowsOf returns the transcript of a conversation, and its rows in short form.
func rowsOf(c *conversation, w int) (all []string, th *transcript) {
	th = &transcript{}
	th.build(c, text.Ruler{}, w)
	for _, r := range th.rows {
		switch r.kind {
		case rowText, rowNotice:
			s := r.msg.displayLines(text.Ruler{})[r.piece.line][r.piece.from:r.piece.to]
			if r.showTime {
				s += " @"
			}
			all = append(all, s)
		default:
			all = append(all, map[rowKind]string{rowBlank: "", rowDate: "=", rowUnread: "new", rowName: r.msg.name + ":", rowFailure: "!", rowStart: "^"}[r.kind])
		}
	}
	return all, th
}

// TestTranscriptRows checks that consecutive messages of a sender share a name
// row, and that dates, the first unread message and failures have rows of their
// own.
func TestTranscriptRows(t *testing.T) {
	c := newConversation()
	c.loaded, c.hasFirst = true, true
	add := func(seq, from int64, s string, at time.Time) {
		c.insert(&message{seq: seq, from: from, name: fmt.Sprint("user", from), text: s, at: at})
	}
	add(1, 2, "one two three", noon)
	add(2, 2, "two", noon.Add(10*time.Second))
	add(3, 2, "three", noon.Add(70*time.Second))
	add(4, 1, "mine\nagain", noon.Add(80*time.Second))
	add(5, 1, "late", noon.Add(time.Hour))
	add(6, 2, "tomorrow", noon.AddDate(0, 0, 1))
	c.messages[5].failure = "no"
	c.unreadAfter = 4
	got, _ := rowsOf(c, 8)
	want := []string{"^", "=", "user2:", "one two ", "three", "two", "three @", "", "user1:", "mine", "again", "new", "user1:", "late", "=",
		"user2:", "tomorrow", "!"}
	if !slices.Equal(got, want) {
		t.Errorf("rows\n%q\nwant\n%q", got, want)
	}
}

// TestScrollPositionKept checks that a view stays in place when a message
// arrives, older messages are loaded, or the width changes, and that scrolling
// stops at the ends.
func TestScrollPositionKept(t *testing.T) {
	c := newConversation()
	c.addPage(pageOf(1, 60, true, pageLast, 30, 60))
	_, th := rowsOf(c, 40)
	const h = 10
	lowest := func() string {
		rows := th.visible(c.scroll, h)
		return rows[len(rows)-1].msg.text
	}
	if th.reanchor(&c.scroll, h); lowest() != "text 60" {
		t.Fatalf("the lowest row is %q, want text 60", lowest())
	}
	th.scrollBy(&c.scroll, 7, h)
	for what, change := range map[string]func(){
		"a new message":  func() { c.receive(said(61, 2, "text 61"), 1) },
		"older messages": func() { c.addPage(pageOf(1, 61, true, pageOlder, 10, 29)) },
		"a new width":    func() {},
	} {
		change()
		th.build(c, text.Ruler{}, 20)
		if th.reanchor(&c.scroll, h); lowest() != "text 53" {
			t.Errorf("after %s, the lowest row is %q, want text 53", what, lowest())
		}
	}
	th.scrollBy(&c.scroll, -1000, h)
	if lowest() != "text 61" || c.scroll.fromBottom != 0 {
		t.Errorf("scrolled down by 1000 rows: the lowest row is %q, %d rows from the end; want text 61, 0", lowest(), c.scroll.fromBottom)
	}
	th.scrollBy(&c.scroll, 1000, h)
	if !th.atTop(c.scroll, h) {
		t.Error("scrolled up by 1000 rows: the first row isn't visible")
	}
}
