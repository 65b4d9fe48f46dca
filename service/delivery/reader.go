package delivery

import (
	"errors"
	"time"

	"chatd/model"
	"chatd/proto"
	"chatd/reactor"
	"chatd/service/limits"
	"chatd/service/session"
)

// readerOnLoop reads the log for the topics in its queue: one read at a time, of up
// to maxReads topics. Each session has its own, so that sessions get equal shares of
// the workers, however many backlogs each of them has.
type readerOnLoop struct {
	session *session.Session
	queue   []*topicOnLoop            // in the order of reading; their field reading is set
	missed  []missedPair              // pairs with missed messages, read with the queue
	paused  map[*topicOnLoop]struct{} // in which the session has a backlog that is paused
	busy    bool                      // a read is running, or waits before it is tried again
	most    int                       // most topics in one read: less than maxReads after reads that failed
	failed  *topicOnLoop              // the last topic that was read alone and failed, if no read has succeeded since
	due     bool                      // in TopicsOnLoop.due
}

// missedPair is a pair in which a session has missed messages at its login, and for
// which there was no topic. It costs less than a topic.
type missedPair struct{ conv, peer, delivered, last int64 }

// page is one topic's part of a read.
type page struct {
	topic       *topicOnLoop
	conv, group int64
	after, last int64              // the topic's messages after this seq are read; the highest one that the loop has heard of
	ask         []*session.Session // whose cursors are unknown. If after is unknown, it becomes the first one's cursor

	cursors  []int64 // of ask
	messages []model.Message
	more     bool  // the log has more messages than the loop had heard of; there may be further ones
	version  int64 // of the group's membership, read after the messages
	gone     bool  // the user for whom it was read is no longer a member
}

// reader returns the reader of a session, and creates it if necessary.
func (l *TopicsOnLoop) reader(t Turn, ss *session.Session) *readerOnLoop {
	rd := l.readers[ss]
	if rd == nil {
		rd = &readerOnLoop{session: ss, most: maxReads}
		l.readers[ss] = rd
	}
	return rd
}

// readerOf returns the reader that reads a topic: that of first, or if it has other
// work, the one with the least work among the topic's sessions. So members of a
// group don't wait for the backlog of one of them.
func (l *TopicsOnLoop) readerOf(t Turn, tp *topicOnLoop, first *session.Session) *readerOnLoop {
	best, least := first, l.work(t, first)
	for i := 0; i < len(tp.cursors) && least > 0; i++ {
		if ss := tp.cursors[i].session; ss.Live() && ss != first {
			if n := l.work(t, ss); n < least {
				best, least = ss, n
			}
		}
	}
	return l.reader(t, best)
}

// work returns how much a session's reader and its connection have to do.
func (l *TopicsOnLoop) work(t Turn, ss *session.Session) (n int) {
	if ss.Conn(t).Busy(t) {
		n++
	}
	if rd := l.readers[ss]; rd != nil {
		n += len(rd.queue) + len(rd.missed)
		if rd.busy {
			n++
		}
	}
	return n
}

// wait records that the session's backlog in a topic is paused.
func (rd *readerOnLoop) wait(t Turn, tp *topicOnLoop) {
	if rd.paused == nil {
		rd.paused = make(map[*topicOnLoop]struct{})
	}
	rd.paused[tp] = struct{}{}
}

// resumeReader continues with a session's backlogs after they were paused.
func (l *TopicsOnLoop) resumeReader(t Turn, ss *session.Session) {
	rd := l.readers[ss]
	if rd == nil {
		return
	}
	paused := rd.paused
	rd.paused = nil
	for tp := range paused {
		l.catchUp(t, tp)
	}
	l.readSoon(t, rd)
}

// endReader passes the queue of a session that has ended to other sessions.
func (l *TopicsOnLoop) endReader(t Turn, ss *session.Session) {
	rd := l.readers[ss]
	if rd == nil {
		return
	}
	delete(l.readers, ss)
	queue := rd.queue
	rd.queue, rd.missed, rd.paused = nil, nil, nil
	l.release(t, queue)
}

// release makes topics that were in a queue or a read eligible again, and puts them
// into a queue if they still need it.
func (l *TopicsOnLoop) release(t Turn, topics []*topicOnLoop) {
	for _, tp := range topics {
		tp.reading = false
	}
	for _, tp := range topics {
		l.catchUp(t, tp)
	}
}

// readSoon starts a read when the turn ends. By then the turn has put all topics
// into the queue that it is going to.
func (l *TopicsOnLoop) readSoon(t Turn, rd *readerOnLoop) {
	if !rd.due {
		rd.due = true
		l.due = append(l.due, rd)
	}
}

// startReads starts the reads of this turn.
func (l *TopicsOnLoop) startReads(t Turn) {
	for len(l.due) > 0 {
		rd := l.due[0]
		l.due = l.due[1:]
		rd.due = false
		l.read(t, rd)
	}
	l.due = nil
}

// read starts a read, unless one is running or there is nothing to do.
func (l *TopicsOnLoop) read(t Turn, rd *readerOnLoop) {
	if rd.busy || l.readers[rd.session] != rd {
		return
	}
	if !rd.session.BacklogPaused(t) {
		if wait := l.d.limits.MoreMissed(rd.session.Rate, t.Now()); wait > 0 {
			l.delayBacklog(t, rd.session, wait)
		}
	}
	pages := l.take(t, rd)
	if len(pages) == 0 {
		if len(rd.queue)+len(rd.missed)+len(rd.paused) == 0 {
			delete(l.readers, rd.session)
		}
		return
	}
	rd.busy = true
	l.d.m.catchUps.Inc()
	d, user := l.d, rd.session.User
	err := reactor.Go(t, rd.session.Conn(t).Conn, reactor.Quick, func(t Off) (struct{}, error) {
		return struct{}{}, d.readPages(t, user, pages)
	}, func(t Turn, _ struct{}, err error) {
		if err != nil {
			if d.ctx.Err() == nil {
				l.readFailed(t, rd, pages, err)
			}
			return
		}
		rd.busy, rd.failed, rd.most = false, nil, min(2*rd.most, maxReads)
		l.readSoon(t, rd)
		for _, p := range pages {
			p.topic.reading = false
		}
		defer l.tryEmpty(t, pages) // also after a panic
		l.pushPages(t, pages)
	})
	if err != nil { // the worker's queue is full
		l.readAgain(t, rd, pages, retryBusy)
	}
}

// readFailed tries a read that has failed again. If it was one of several topics, one
// of them may be unreadable. So the next reads are of half as many, down to a single
// one. A topic that fails alone is set aside, and the others are read meanwhile.
func (l *TopicsOnLoop) readFailed(t Turn, rd *readerOnLoop, pages []*page, err error) {
	topics := topicsOf(pages)
	if errors.Is(err, reactor.ErrBusy) {
		l.readAgain(t, rd, pages, retryBusy)
		return
	}
	if len(pages) > 1 {
		l.d.log.Warn("reading backlogs failed; reading fewer at once", "conversations", len(pages), "first", pages[0].conv, "err", err)
		rd.busy, rd.most = false, len(pages)/2
		if l.readers[rd.session] != rd { // the session has ended
			l.release(t, topics)
			return
		}
		rd.queue = append(topics, rd.queue...)
		l.readSoon(t, rd)
		return
	}
	// If another one failed before, it is probably the database.
	tp, all := topics[0], rd.failed != nil && rd.failed != topics[0]
	rd.failed = tp
	wait := l.setAside(t, tp, !all)
	l.d.log.Error("reading the backlog of a conversation failed; retrying", "conversation", tp.conv, "in", wait, "err", err)
	if all {
		l.readAgain(t, rd, nil, retryRead)
		return
	}
	rd.busy = false
	l.readSoon(t, rd)
}

// setAside lets a topic wait before it is read again, alone. The wait is doubled each
// time if longer is set.
func (l *TopicsOnLoop) setAside(t Turn, tp *topicOnLoop, longer bool) (wait time.Duration) {
	if longer || tp.failures == 0 {
		tp.failures++
	}
	wait = min(retryRead<<min(tp.failures-1, 10), maxRetryRead)
	tp.reading = true
	t.After(wait, func(t Turn) { l.release(t, []*topicOnLoop{tp}) })
	return wait
}

// readAgain waits, and then puts the topics of a read that has failed into a queue
// again.
func (l *TopicsOnLoop) readAgain(t Turn, rd *readerOnLoop, pages []*page, after time.Duration) {
	t.After(after, func(t Turn) {
		rd.busy = false
		l.readSoon(t, rd)
		l.release(t, topicsOf(pages))
	})
}

func topicsOf(pages []*page) []*topicOnLoop {
	topics := make([]*topicOnLoop, len(pages))
	for i, p := range pages {
		topics[i] = p.topic
	}
	return topics
}

// pushPages pushes the messages of a read. If one page causes a panic, which the
// reactor recovers, those after it are still pushed.
func (l *TopicsOnLoop) pushPages(t Turn, pages []*page) {
	defer func() {
		if len(pages) > 0 {
			l.pushPages(t, pages)
		}
	}()
	for len(pages) > 0 {
		p := pages[0]
		pages = pages[1:]
		l.applyPage(t, p)
	}
}

// applyPage pushes the messages of a page. If that causes a panic, the topic is read
// again later: otherwise its sessions would have to wait for the next message.
func (l *TopicsOnLoop) applyPage(t Turn, p *page) {
	tp, done := p.topic, false
	defer func() {
		if !done && !tp.reading {
			l.setAside(t, tp, true)
		}
	}()
	switch {
	case tp.dropped || tp.reloading: // after a reload, setMembers calls catchUp again
	case p.gone || p.version > tp.version:
		l.reload(t, tp, p.version)
	default:
		if l.pushPage(t, tp, p); len(p.messages) > 0 {
			l.catchUp(t, tp)
		}
	}
	tp.failures, done = 0, true
}

// tryEmpty reads the topics again whose pages were empty. A session may still have
// a backlog there: of messages that were committed after the read, or for which the
// read had no room. In the latter case, other pages have messages, and it is read
// again at once.
func (l *TopicsOnLoop) tryEmpty(t Turn, pages []*page) {
	var empty []*topicOnLoop
	for _, p := range pages {
		if len(p.messages) == 0 {
			empty = append(empty, p.topic)
		}
	}
	again := func(t Turn) {
		for _, tp := range empty {
			l.catchUp(t, tp)
		}
	}
	switch len(empty) {
	case 0:
	case len(pages):
		t.After(retryBusy, again)
	default:
		again(t)
	}
}

// take removes up to rd.most topics from a reader's queue and its missed pairs, at
// least half of them from the queue if it has so many. It leaves out topics in which
// no session can be sent more. A topic that has failed alone is taken alone.
func (l *TopicsOnLoop) take(t Turn, rd *readerOnLoop) (pages []*page) {
	fromQueue := max((rd.most+1)/2, rd.most-len(rd.missed))
	if rd.session.BacklogPaused(t) {
		fromQueue = rd.most
	}
	for len(rd.queue) > 0 && len(pages) < fromQueue {
		tp := rd.queue[0]
		alone := tp.failures > 0
		if alone && len(pages) > 0 {
			return pages
		}
		rd.queue = rd.queue[1:]
		if p := l.pageOf(t, tp); p != nil {
			if pages = append(pages, p); alone {
				return pages
			}
		}
	}
	// Begin no more pairs than can be read soon: a pause goes through the whole queue.
	for len(rd.missed) > 0 && len(pages) < rd.most && len(rd.queue) <= maxReads && !rd.session.BacklogPaused(t) {
		m := &rd.missed[0]
		rd.missed = rd.missed[1:]
		if tp := l.beginMissed(t, rd.session, m); tp != nil {
			if p := l.pageOf(t, tp); p != nil {
				pages = append(pages, p)
			}
		}
	}
	return pages
}

// pageOf returns the next page to read of a topic whose field reading is set. If
// none is needed, it returns nil and clears that field.
func (l *TopicsOnLoop) pageOf(t Turn, tp *topicOnLoop) *page {
	if !tp.dropped && !tp.reloading { // after a reload, setMembers calls catchUp
		if first, ask := tp.nextReaders(t); first != nil {
			return &page{topic: tp, conv: tp.conv, group: tp.group, after: first.sent, last: tp.last, ask: ask}
		}
	}
	tp.reading = false
	l.catchUp(t, tp) // records the topic for sessions whose backlog is paused
	return nil
}

// beginMissed creates the topic of a pair in which a session has missed messages, or
// updates it if there is one by now. It returns nil if the topic is read already or
// needn't be, and otherwise sets its field reading.
func (l *TopicsOnLoop) beginMissed(t Turn, ss *session.Session, m *missedPair) *topicOnLoop {
	tp := l.topics[m.conv]
	created := tp == nil
	if created {
		tp = l.newPair(t, m.conv, pairOf(ss.User, m.peer), m.last)
	}
	tp.last = max(tp.last, m.last)
	cu := tp.cursor(t, ss)
	if cu == nil {
		return nil // unexpected: a pair's topic has all sessions of both users
	}
	if created { // otherwise an unknown cursor is read from the store
		cu.sent = m.delivered
		cu.arrived, cu.saved = cu.sent, cu.sent
	}
	if cu.sent < tp.last {
		cu.backlog = true
	}
	if !cu.backlog || tp.reading {
		return nil
	}
	tp.reading = true
	return tp
}

// missedPair returns a session's missed pair with this conversation, or nil.
func (l *TopicsOnLoop) missedPair(t Turn, ss *session.Session, conv int64) *missedPair {
	if rd := l.readers[ss]; rd != nil {
		for i := range rd.missed {
			if rd.missed[i].conv == conv {
				return &rd.missed[i]
			}
		}
	}
	return nil
}

// readPages reads a page of each topic, for a user who should be a member: at most
// MaxPage messages in all, and at most proto.MaxSyncBytes. It sets the results in
// pages.
func (d *Delivery) readPages(t Off, user int64, pages []*page) error {
	d.courier.Await(t)
	if err := d.readCursors(t, pages); err != nil {
		return err
	}
	var groups []int64
	var requests []model.PageRequest
	var asked []*page
	left := d.cfg.MaxPage
	for i, p := range pages {
		if p.after < 0 { // not a member any more; see readCursors
			continue
		}
		limit := max(1, min(p.wanted(d.cfg.MaxPage), left/(len(pages)-i)))
		left -= limit
		requests, asked = append(requests, model.PageRequest{Conv: p.conv, After: p.after, Limit: limit}), append(asked, p)
		if p.group != 0 {
			groups = append(groups, p.group)
		}
	}
	messages, err := d.store.Pages(t, requests, proto.MaxSyncBytes)
	if err != nil {
		return err
	}
	bytes := 0
	for i := range messages {
		bytes += len(messages[i].Body)
	}
	if len(messages) >= d.cfg.MaxPage {
		d.sessions.Limited.Reached(limits.FullPage, 1)
	}
	for i, p := range asked {
		n := 0
		for n < len(messages) && messages[n].Conv == p.conv {
			n++
		}
		p.messages, messages = messages[:n], messages[n:]
		// A page that isn't full ends where the log did. But the store may have left
		// messages out for their size.
		full := n >= requests[i].Limit || bytes > proto.MaxSyncBytes/2
		p.more = n > 0 && full && int64(n) > p.last-p.after
	}
	if len(groups) == 0 {
		return nil
	}
	// A user who has left a group must not get later messages, even if this node
	// hasn't heard of the leave yet.
	versions, err := d.store.GroupVersions(t, user, groups)
	if err != nil {
		return err
	}
	for _, p := range asked {
		if p.group != 0 {
			var member bool
			p.version, member = versions[p.group]
			p.gone = !member
		}
	}
	return nil
}

// busyLog is how many messages more than the loop has heard of a page asks for. If it
// asked for no more, a session could never catch up with a conversation in which
// messages arrive during each read.
const busyLog = 32

// wanted returns how many messages to ask for, at most most.
func (p *page) wanted(most int) int {
	if n := p.last - p.after; n > 0 && n < int64(most) {
		return int(min(n+busyLog, int64(most)))
	}
	return most // if n <= 0, the topic may have missed messages: see TopicsOnLoop.applyMembers
}

// readCursors reads the unknown cursors of all pages.
func (d *Delivery) readCursors(t Off, pages []*page) error {
	var keys []model.DeviceCursor
	for _, p := range pages {
		for _, ss := range p.ask {
			keys = append(keys, model.DeviceCursor{Conv: p.conv, User: ss.User, Device: ss.Device})
		}
	}
	if len(keys) == 0 {
		return nil
	}
	seqs, err := d.store.DeliveredSeqs(t, keys)
	if err != nil {
		return err
	}
	for _, p := range pages {
		p.cursors, seqs = seqs[:len(p.ask)], seqs[len(p.ask):]
		if p.after == unknown {
			if p.after = p.cursors[0]; p.after < 0 {
				// A pair is left only by a user who is deleted; the session ends soon.
				p.gone = p.group != 0
			}
		}
	}
	return nil
}
