package tui

import (
	"cmp"
	"slices"
	"time"

	"chatd/client"
)

// Bounds of what is kept of conversations; what is dropped is read from the
// server again when it is scrolled to.
const (
	pageSize  = 50      // messages that are asked for in one go
	openMost  = 2000    // messages of the open conversation
	openBytes = 4 << 20 // and their text
	restMost  = 100     // messages of one that isn't open
	restBytes = 64 << 10
	restConvs = 30 // conversations that aren't open and have messages here
)

// conversation is what is known of one.
type conversation struct {
	id       client.Conv
	name     string
	first    int64 // the lowest seq one may see
	last     int64 // of the conversation
	read     int64 // so far one has read
	peerRead int64 // so far the other one has
	latest   time.Time
	preview  string
	gone     bool // a group one is no longer in
	typing   map[int64]typist
	draft    string
	fresh    int64 // what is behind this was unread when it was opened; 0: nothing was
	scroll   scroll
	opened   int64 // when, counted in openings

	entries []*entry // by seq, then those that wait
	bytes   int
	loaded  bool // there is a page here; what is said from now on is added to it
	loading bool
	begins  bool // nothing comes before the first entry
	behind  bool // newer ones were dropped: what is said isn't added
}

// typist is somebody who is typing.
type typist struct {
	name  string
	until time.Time
}

// unread is how many messages one hasn't read.
func (c *conversation) unread() int64 {
	if c.gone {
		return 0
	}
	return max(0, c.last-max(c.read, c.first-1))
}

// waiting is how many messages have yet to be acknowledged.
func (c *conversation) waiting() (n int) {
	for _, e := range slices.Backward(c.entries) {
		if e.seq != 0 && !e.note {
			break
		}
		if e.waits() {
			n++
		}
	}
	return n
}

// place is where an entry with a seq belongs: behind all that are not greater.
func (c *conversation) place(seq int64) int {
	i, _ := slices.BinarySearchFunc(c.entries, seq, func(e *entry, seq int64) int {
		if e.seq == 0 || e.seq > seq {
			return 1
		}
		return -1
	})
	return i
}

// has reports whether the message with that seq is here.
func (c *conversation) has(seq int64) bool {
	for i := c.place(seq) - 1; i >= 0 && c.entries[i].seq == seq; i-- {
		if !c.entries[i].note {
			return true
		}
	}
	return false
}

// put adds an entry that has a seq, unless it is here.
func (c *conversation) put(e *entry) bool {
	if !e.note && c.has(e.seq) {
		return false
	}
	i := c.place(e.seq)
	if !e.note {
		// Notes come behind the message that they follow.
		for i > 0 && c.entries[i-1].note && c.entries[i-1].seq == e.seq {
			i--
		}
	}
	c.entries = slices.Insert(c.entries, i, e)
	c.bytes += len(e.text)
	return true
}

// note adds a note behind what was said last.
func (c *conversation) note(text string, now time.Time) {
	if !c.loaded || c.behind {
		return
	}
	e := &entry{seq: c.last, note: true, text: text, at: now}
	if c.last == 0 {
		e.seq = -1 // before the first one; 0 is what waits
	}
	c.put(e)
}

// send adds a message that waits to be acknowledged.
func (c *conversation) send(local, from int64, name, text string, now time.Time) {
	c.entries = append(c.entries, &entry{local: local, from: from, name: name, text: text, at: now})
	c.bytes += len(text)
	c.latest, c.preview = now, text
}

// settle notes what became of a message that waited. It returns its text where
// it was not stored.
func (c *conversation) settle(local int64, r client.Receipt, failed string) {
	i := slices.IndexFunc(c.entries, func(e *entry) bool { return e.local == local })
	if i < 0 {
		c.said(r.Seq, r.Time, "")
		return
	}
	e := c.entries[i]
	if failed != "" {
		e.failed = failed
		return
	}
	c.entries = slices.Delete(c.entries, i, i+1)
	c.bytes -= len(e.text)
	e.seq, e.at = r.Seq, r.Time
	if !c.behind {
		c.put(e)
	}
	c.said(r.Seq, r.Time, e.text)
	c.read = max(c.read, r.Seq)
}

// said notes that there is a message.
func (c *conversation) said(seq int64, at time.Time, text string) {
	if seq < c.last {
		return
	}
	c.last = seq
	if at.After(c.latest) {
		c.latest = at
	}
	if text != "" {
		c.preview = text
	}
}

// hear takes in a message that came.
func (c *conversation) hear(m client.Message, me int64) {
	c.said(m.Seq, m.Time, m.Text)
	delete(c.typing, m.From)
	if m.From == me {
		c.read = max(c.read, m.Seq)
	}
	if (c.loaded || c.loading) && !c.behind { // what is being asked for may lack it
		c.put(&entry{seq: m.Seq, from: m.From, name: m.Name, text: m.Text, at: m.Time})
	}
}

// bounds are the lowest and the highest seq here, 0 and 0 if there is none.
func (c *conversation) bounds() (low, high int64) {
	for _, e := range c.entries {
		if e.seq != 0 && !e.note {
			if low == 0 {
				low = e.seq
			}
			high = e.seq
		}
	}
	return low, high
}

// page is a piece of a conversation that was asked for.
type page struct {
	conv client.Conv
	way  way
	p    client.Page
	err  error
}

// way is where a page belongs.
type way int

const (
	wayLast  way = iota // the last messages
	wayOlder            // what comes before those that are here
	wayNewer            // what comes behind
)

// take takes in a page.
func (c *conversation) take(p page) {
	c.loading = false
	c.first = max(c.first, p.p.First)
	if p.way == wayLast && c.behind {
		c.empty()
	}
	for _, m := range p.p.Messages {
		c.put(&entry{seq: m.Seq, from: m.From, name: m.Name, text: m.Text, at: m.Time})
	}
	_, high := c.bounds()
	if p.way == wayNewer {
		c.behind = high < c.last
	}
	if p.way != wayNewer && !p.p.More {
		c.begins = true
	}
	if n := len(p.p.Messages); n > 0 && p.way == wayLast {
		m := p.p.Messages[n-1]
		c.said(m.Seq, m.Time, m.Text)
	}
	c.last = max(c.last, p.p.Last)
	c.loaded = true
}

// empty drops all that the server has.
func (c *conversation) empty() {
	c.entries = slices.DeleteFunc(c.entries, func(e *entry) bool { return e.seq != 0 })
	c.bytes = 0
	for _, e := range c.entries {
		c.bytes += len(e.text)
	}
	c.loaded, c.begins, c.behind = false, false, false
}

// trim drops what is too much, from the end that one isn't looking at.
func (c *conversation) trim(most, bytes int, atEnd bool) {
	for len(c.entries) > most || c.bytes > bytes && len(c.entries) > 1 {
		if atEnd {
			if c.entries[0].seq == 0 {
				return // what waits is never dropped
			}
			c.bytes -= len(c.entries[0].text)
			c.entries[0] = nil
			c.entries = c.entries[1:]
			c.begins = false
			continue
		}
		i := c.place(1<<62) - 1 // the last one that is stored
		if i <= 0 {
			return
		}
		c.bytes -= len(c.entries[i].text)
		c.entries = slices.Delete(c.entries, i, i+1)
		c.behind = true
	}
}

// rest keeps little of a conversation that is no longer open.
func (c *conversation) rest() {
	if c.behind {
		c.empty()
	}
	c.trim(restMost, restBytes, true)
	c.scroll, c.fresh = scroll{}, 0
	for _, e := range c.entries {
		e.pieces, e.width = nil, 0
	}
}

// typists are the names of who is typing, and drops who has stopped.
func (c *conversation) typists(now time.Time) (names []string) {
	for id, t := range c.typing {
		if now.After(t.until) {
			delete(c.typing, id)
			continue
		}
		names = append(names, t.name)
	}
	slices.Sort(names)
	return names
}

// byLatest orders conversations as the list shows them: what was said last
// comes first, those in which nothing was said by name.
func byLatest(a, b *conversation) int {
	return cmp.Or(b.latest.Compare(a.latest), cmp.Compare(a.name, b.name), cmp.Compare(a.id.Peer, b.id.Peer),
		cmp.Compare(a.id.Group, b.id.Group))
}
