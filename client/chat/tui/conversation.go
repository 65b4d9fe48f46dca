package tui

import (
	"cmp"
	"slices"
	"time"

	"chatd/client"
	"chatd/client/chat/text"
)

// Limits on the messages held in memory. Dropped messages are loaded again when
// the user scrolls to them.
const (
	pageSize          = 50       // messages per request to the server
	openMaxMessages   = 2000     // messages of the open conversation
	openMaxBytes      = 4 << 20  // bytes of text in them
	closedMaxMessages = 100      // messages of each other conversation
	closedMaxBytes    = 64 << 10 // bytes of text in them
	closedMaxConvs    = 30       // number of other conversations that keep messages
)

// conversation is what this client knows about a conversation.
type conversation struct {
	id          client.Conv
	name        string
	first       int64 // lowest seq the user may read
	last        int64 // highest seq
	read        int64 // the user's read cursor
	peerRead    int64 // the other user's read cursor; 0 in groups
	lastTime    time.Time
	preview     string
	notMember   bool // group that the user is no longer in
	gone        bool // the other user's account was deleted
	typing      map[int64]typist
	draft       string
	unreadAfter int64 // on opening, messages above this seq were unread; 0 if none were
	scroll      scrollPos
	openSeq     int64 // model.openCount when it was last opened

	messages     []*message // stored ones by seq, then pending and failed ones
	bytes        int        // of text in messages
	loaded       bool       // the newest page was loaded, so new messages can be appended
	loading      bool       // a page was requested
	hasFirst     bool       // holds the first message of the conversation
	newerDropped bool       // the newest messages were dropped; new ones aren't appended
}

// typist is a user who is typing.
type typist struct {
	name  string
	until time.Time
}

// unread returns the number of unread messages.
func (c *conversation) unread() int64 {
	if c.notMember {
		return 0
	}
	return max(0, c.last-max(c.read, c.first-1))
}

// pendingCount returns the number of messages that aren't acknowledged yet.
func (c *conversation) pendingCount() (n int) {
	for _, msg := range slices.Backward(c.messages) {
		if msg.seq != 0 && !msg.notice {
			break
		}
		if msg.pending() {
			n++
		}
	}
	return n
}

// indexAfter returns the index of the first message with a higher seq.
func (c *conversation) indexAfter(seq int64) int {
	i, _ := slices.BinarySearchFunc(c.messages, seq, func(msg *message, seq int64) int {
		if msg.seq == 0 || msg.seq > seq {
			return 1
		}
		return -1
	})
	return i
}

// contains reports whether messages has the message with this seq.
func (c *conversation) contains(seq int64) bool {
	for i := c.indexAfter(seq) - 1; i >= 0 && c.messages[i].seq == seq; i-- {
		if !c.messages[i].notice {
			return true
		}
	}
	return false
}

// insert adds a message that has a seq. It returns false if c has it already.
func (c *conversation) insert(msg *message) bool {
	if !msg.notice && c.contains(msg.seq) {
		return false
	}
	i := c.indexAfter(msg.seq)
	if !msg.notice {
		// Notices come after the message with their seq.
		for i > 0 && c.messages[i-1].notice && c.messages[i-1].seq == msg.seq {
			i--
		}
	}
	c.messages = slices.Insert(c.messages, i, msg)
	c.bytes += len(msg.text)
	return true
}

// addNotice adds a notice after the last stored message.
func (c *conversation) addNotice(text string, now time.Time) {
	if !c.loaded || c.newerDropped {
		return
	}
	msg := &message{seq: c.last, notice: true, text: text, at: now}
	if c.last == 0 {
		msg.seq = -1 // before the first message; 0 would mean pending
	}
	c.insert(msg)
}

// addPending adds a message that isn't acknowledged yet.
func (c *conversation) addPending(local, from int64, name, text string, now time.Time) {
	c.messages = append(c.messages, &message{localID: local, from: from, name: name, text: text, at: now})
	c.bytes += len(text)
	c.lastTime, c.preview = now, text
}

// completeSend records the outcome of a pending message. failed says why it
// wasn't stored, and is empty if it was.
func (c *conversation) completeSend(local int64, r client.Receipt, failed string) {
	i := slices.IndexFunc(c.messages, func(msg *message) bool { return msg.localID == local })
	if i < 0 {
		c.updateLast(r.Seq, r.Time, "")
		return
	}
	msg := c.messages[i]
	if failed != "" {
		msg.failure = failed
		return
	}
	c.messages = slices.Delete(c.messages, i, i+1)
	c.bytes -= len(msg.text)
	msg.seq, msg.at = r.Seq, r.Time
	if !c.newerDropped {
		c.insert(msg)
	}
	c.updateLast(r.Seq, r.Time, msg.text)
	c.read = max(c.read, r.Seq)
}

// updateLast records a message as the last one, unless a later one is known.
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

// receive adds a message that arrived.
func (c *conversation) receive(m client.Message, me int64) {
	c.updateLast(m.Seq, m.Time, m.Text)
	delete(c.typing, m.From)
	if m.From == me {
		c.read = max(c.read, m.Seq)
	}
	if (c.loaded || c.loading) && !c.newerDropped { // a page on its way may not have it yet
		c.insert(&message{seq: m.Seq, from: m.From, name: text.Account(m.Name, m.Gone), text: m.Text, at: m.Time})
	}
}

// seqRange returns the lowest and highest seq in messages, or 0, 0.
func (c *conversation) seqRange() (low, high int64) {
	for _, msg := range c.messages {
		if msg.seq != 0 && !msg.notice {
			if low == 0 {
				low = msg.seq
			}
			high = msg.seq
		}
	}
	return low, high
}

// page is the result of a request for messages.
type page struct {
	conv client.Conv
	kind pageKind
	data client.Page
	err  error
}

// pageKind says which messages were requested.
type pageKind int

const (
	pageLast  pageKind = iota // the newest messages
	pageOlder                 // messages before the oldest one in memory
	pageNewer                 // messages after the newest one in memory
)

// addPage adds the messages of a page.
func (c *conversation) addPage(p page) {
	c.loading = false
	c.first = max(c.first, p.data.First)
	if p.kind == pageLast && c.newerDropped {
		c.dropStored()
	}
	for _, m := range p.data.Messages {
		c.insert(&message{seq: m.Seq, from: m.From, name: text.Account(m.Name, m.Gone), text: m.Text, at: m.Time})
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

// dropStored drops all messages that can be loaded again, and notices.
func (c *conversation) dropStored() {
	c.messages = slices.DeleteFunc(c.messages, func(msg *message) bool { return msg.seq != 0 })
	c.bytes = 0
	for _, msg := range c.messages {
		c.bytes += len(msg.text)
	}
	c.loaded, c.hasFirst, c.newerDropped = false, false, false
}

// trim drops messages until at most maxMessages with maxBytes of text are left:
// the oldest first if atEnd is set, otherwise the newest. It never drops
// pending and failed messages.
func (c *conversation) trim(maxMessages, maxBytes int, atEnd bool) {
	for len(c.messages) > maxMessages || c.bytes > maxBytes && len(c.messages) > 1 {
		if atEnd {
			if c.messages[0].seq == 0 {
				return // pending
			}
			c.bytes -= len(c.messages[0].text)
			c.messages[0] = nil
			c.messages = c.messages[1:]
			c.hasFirst = false
			continue
		}
		i := c.indexAfter(1<<62) - 1 // the last stored message
		if i <= 0 {
			return
		}
		c.bytes -= len(c.messages[i].text)
		c.messages = slices.Delete(c.messages, i, i+1)
		c.newerDropped = true
	}
}

// shrink frees memory after the conversation was closed.
func (c *conversation) shrink() {
	if c.newerDropped {
		c.dropStored()
	}
	c.trim(closedMaxMessages, closedMaxBytes, true)
	c.scroll, c.unreadAfter = scrollPos{}, 0
	for _, msg := range c.messages {
		msg.pieces, msg.wrapWidth = nil, 0
	}
}

// typingNames returns the names of users who are typing, and removes expired
// entries.
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

// byLatest orders conversations by last message, newest first. Those without a
// message are ordered by name.
func byLatest(a, b *conversation) int {
	return cmp.Or(b.lastTime.Compare(a.lastTime), cmp.Compare(a.name, b.name), cmp.Compare(a.id.Peer, b.id.Peer),
		cmp.Compare(a.id.Group, b.id.Group))
}
