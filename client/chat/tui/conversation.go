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
	pageSize          = 50      // messages that are asked for in one go
	openMaxMessages   = 2000    // messages of the open conversation
	openMaxBytes      = 4 << 20 // and their text
	closedMaxMessages = 100     // messages of one that isn't open
	closedMaxBytes    = 64 << 10
	closedMaxConvs    = 30 // conversations that aren't open and have messages here
)

// conversation is what is known of one.
type conversation struct {
	id          client.Conv
	name        string
	first       int64 // the lowest seq one may see
	last        int64 // of the conversation
	read        int64 // so far one has read
	peerRead    int64 // so far the other one has
	lastTime    time.Time
	preview     string
	notMember   bool // a group one is no longer in
	typing      map[int64]typist
	draft       string
	unreadAfter int64 // what is behind this was unread when it was opened; 0: nothing was
	scroll      scrollPos
	openSeq     int64 // when, counted in openings

	messages     []*message // by seq, then those that wait
	bytes        int
	loaded       bool // there is a page here; what is said from now on is added to it
	loading      bool
	hasFirst     bool // nothing comes before the first entry
	newerDropped bool // newer ones were dropped: what is said isn't added
}

// typist is somebody who is typing.
type typist struct {
	name  string
	until time.Time
}

// unread is how many messages one hasn't read.
func (c *conversation) unread() int64 {
	if c.notMember {
		return 0
	}
	return max(0, c.last-max(c.read, c.first-1))
}

// waiting is how many messages have yet to be acknowledged.
func (c *conversation) pendingCount() (n int) {
	for _, e := range slices.Backward(c.messages) {
		if e.seq != 0 && !e.notice {
			break
		}
		if e.pending() {
			n++
		}
	}
	return n
}

// place is where an entry with a seq belongs: behind all that are not greater.
func (c *conversation) indexAfter(seq int64) int {
	i, _ := slices.BinarySearchFunc(c.messages, seq, func(e *message, seq int64) int {
		if e.seq == 0 || e.seq > seq {
			return 1
		}
		return -1
	})
	return i
}

// has reports whether the message with that seq is here.
func (c *conversation) contains(seq int64) bool {
	for i := c.indexAfter(seq) - 1; i >= 0 && c.messages[i].seq == seq; i-- {
		if !c.messages[i].notice {
			return true
		}
	}
	return false
}

// put adds an entry that has a seq, unless it is here.
func (c *conversation) insert(e *message) bool {
	if !e.notice && c.contains(e.seq) {
		return false
	}
	i := c.indexAfter(e.seq)
	if !e.notice {
		// Notes come behind the message that they follow.
		for i > 0 && c.messages[i-1].notice && c.messages[i-1].seq == e.seq {
			i--
		}
	}
	c.messages = slices.Insert(c.messages, i, e)
	c.bytes += len(e.text)
	return true
}

// note adds a note behind what was said last.
func (c *conversation) addNotice(text string, now time.Time) {
	if !c.loaded || c.newerDropped {
		return
	}
	e := &message{seq: c.last, notice: true, text: text, at: now}
	if c.last == 0 {
		e.seq = -1 // before the first one; 0 is what waits
	}
	c.insert(e)
}

// send adds a message that waits to be acknowledged.
func (c *conversation) addPending(local, from int64, name, text string, now time.Time) {
	c.messages = append(c.messages, &message{localID: local, from: from, name: name, text: text, at: now})
	c.bytes += len(text)
	c.lastTime, c.preview = now, text
}

// settle notes what became of a message that waited. It returns its text where
// it was not stored.
func (c *conversation) completeSend(local int64, r client.Receipt, failed string) {
	i := slices.IndexFunc(c.messages, func(e *message) bool { return e.localID == local })
	if i < 0 {
		c.updateLast(r.Seq, r.Time, "")
		return
	}
	e := c.messages[i]
	if failed != "" {
		e.failure = failed
		return
	}
	c.messages = slices.Delete(c.messages, i, i+1)
	c.bytes -= len(e.text)
	e.seq, e.at = r.Seq, r.Time
	if !c.newerDropped {
		c.insert(e)
	}
	c.updateLast(r.Seq, r.Time, e.text)
	c.read = max(c.read, r.Seq)
}

// said notes that there is a message.
func (c *conversation) updateLast(seq int64, at time.Time, text string) {
	if seq < c.last {
		return
	}
	c.last = seq
	if at.After(c.lastTime) {
		c.lastTime = at
	}
	if text != "" {
		c.preview = text
	}
}

// hear takes in a message that came.
func (c *conversation) receive(m client.Message, me int64) {
	c.updateLast(m.Seq, m.Time, m.Text)
	delete(c.typing, m.From)
	if m.From == me {
		c.read = max(c.read, m.Seq)
	}
	if (c.loaded || c.loading) && !c.newerDropped { // what is being asked for may lack it
		c.insert(&message{seq: m.Seq, from: m.From, name: m.Name, text: m.Text, at: m.Time})
	}
}

// bounds are the lowest and the highest seq here, 0 and 0 if there is none.
func (c *conversation) seqRange() (low, high int64) {
	for _, e := range c.messages {
		if e.seq != 0 && !e.notice {
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
	kind pageKind
	data client.Page
	err  error
}

// way is where a page belongs.
type pageKind int

const (
	pageLast  pageKind = iota // the last messages
	pageOlder                 // what comes before those that are here
	pageNewer                 // what comes behind
)

// take takes in a page.
func (c *conversation) addPage(p page) {
	c.loading = false
	c.first = max(c.first, p.data.First)
	if p.kind == pageLast && c.newerDropped {
		c.dropStored()
	}
	for _, m := range p.data.Messages {
		c.insert(&message{seq: m.Seq, from: m.From, name: m.Name, text: m.Text, at: m.Time})
	}
	_, high := c.seqRange()
	if p.kind == pageNewer {
		c.newerDropped = high < c.last
	}
	if p.kind != pageNewer && !p.data.More {
		c.hasFirst = true
	}
	if n := len(p.data.Messages); n > 0 && p.kind == pageLast {
		m := p.data.Messages[n-1]
		c.updateLast(m.Seq, m.Time, m.Text)
	}
	c.last = max(c.last, p.data.Last)
	c.loaded = true
}

// empty drops all that the server has.
func (c *conversation) dropStored() {
	c.messages = slices.DeleteFunc(c.messages, func(e *message) bool { return e.seq != 0 })
	c.bytes = 0
	for _, e := range c.messages {
		c.bytes += len(e.text)
	}
	c.loaded, c.hasFirst, c.newerDropped = false, false, false
}

// trim drops what is too much, from the end that one isn't looking at.
func (c *conversation) trim(most, bytes int, atEnd bool) {
	for len(c.messages) > most || c.bytes > bytes && len(c.messages) > 1 {
		if atEnd {
			if c.messages[0].seq == 0 {
				return // what waits is never dropped
			}
			c.bytes -= len(c.messages[0].text)
			c.messages[0] = nil
			c.messages = c.messages[1:]
			c.hasFirst = false
			continue
		}
		i := c.indexAfter(1<<62) - 1 // the last one that is stored
		if i <= 0 {
			return
		}
		c.bytes -= len(c.messages[i].text)
		c.messages = slices.Delete(c.messages, i, i+1)
		c.newerDropped = true
	}
}

// rest keeps little of a conversation that is no longer open.
func (c *conversation) shrink() {
	if c.newerDropped {
		c.dropStored()
	}
	c.trim(closedMaxMessages, closedMaxBytes, true)
	c.scroll, c.unreadAfter = scrollPos{}, 0
	for _, e := range c.messages {
		e.pieces, e.wrapWidth = nil, 0
	}
}

// typists are the names of who is typing, and drops who has stopped.
func (c *conversation) typingNames(now time.Time) (names []string) {
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
	return cmp.Or(b.lastTime.Compare(a.lastTime), cmp.Compare(a.name, b.name), cmp.Compare(a.id.Peer, b.id.Peer),
		cmp.Compare(a.id.Group, b.id.Group))
}
