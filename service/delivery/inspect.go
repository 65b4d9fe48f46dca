package delivery

import (
	"context"

	"chatd/service/session"
)

// Snapshot is the state of a conversation on all loops of this node, for package
// trace.
type Snapshot struct {
	Known    bool  // a session on this node has a cursor in it
	Last     int64 // the highest seq that this node has heard of
	Early    int   // messages held back because ones with lower seqs are missing
	Reading  bool  // a page of the log, or the group's members, are being read
	Sending  bool  // the message of the Inquiry hasn't been answered yet
	Sessions map[*session.Session]*Progress
}

// Progress is a session's progress in the conversation.
type Progress struct {
	Live          bool  // LOGIN_ACK was sent
	Known         bool  // Sent and Arrived are known
	Sent          int64 // the last seq written to the connection
	Arrived       int64 // the last seq with a receipt or, without receipts, whose bytes the kernel has accepted
	Backlog       bool  // later messages are read from the log
	BacklogPaused bool  // the backlog waits until the client reads, or because of a limit
	Waiting       int   // bytes that the kernel hasn't accepted yet
}

// Inquiry is the argument of Inspect: the conversation, the sessions, and the
// message (Sender and CID).
type Inquiry struct {
	Conv, Group, PairSum int64 // if Group is 0, PairSum is the sum of the two user IDs
	Sessions             []*session.Session
	Sender               int64
	CID                  []byte
}

// Inspect returns the state of a conversation. It blocks until all loops have
// answered or ctx ends. It returns an error if ctx ends or the reactor has
// stopped.
func (d *Delivery) Inspect(ctx context.Context, q Inquiry) (Snapshot, error) {
	answers := make(chan Snapshot, len(d.topics))
	for i, l := range d.topics {
		if err := d.r.Post(i, func(t Turn) { answers <- l.inspect(t, &q) }); err != nil {
			return Snapshot{}, err
		}
	}
	all := Snapshot{Sessions: make(map[*session.Session]*Progress)}
	for range d.topics {
		select {
		case <-ctx.Done():
			return Snapshot{}, ctx.Err()
		case s := <-answers:
			all.Known = all.Known || s.Known
			all.Last = max(all.Last, s.Last)
			all.Early += s.Early
			all.Reading = all.Reading || s.Reading
			all.Sending = all.Sending || s.Sending
			for ss, p := range s.Sessions {
				all.Sessions[ss] = p
			}
		}
	}
	return all, nil
}

// inspect is Inspect for one loop.
func (l *TopicsOnLoop) inspect(t Turn, q *Inquiry) Snapshot {
	s := Snapshot{Sessions: make(map[*session.Session]*Progress)}
	for _, ss := range q.Sessions {
		if ss.Loop != l.index || ss.Ended(t) {
			continue
		}
		c := ss.Conn(t)
		s.Sessions[ss] = &Progress{Live: ss.Live(), BacklogPaused: ss.BacklogPaused(t), Waiting: c.BytesUnsent(t)}
		s.Sending = s.Sending || c.Sending(t, q.Group, q.PairSum, q.Sender, q.CID)
	}
	tp := l.topics[q.Conv]
	if tp == nil {
		for ss, p := range s.Sessions {
			if m := l.missedPair(t, ss, q.Conv); m != nil {
				s.Known, s.Last = true, max(s.Last, m.last)
				p.Known, p.Sent, p.Arrived, p.Backlog = true, m.delivered, m.delivered, true
			}
		}
		return s
	}
	s.Known, s.Last, s.Early, s.Reading = true, tp.last, len(tp.early), tp.reading || tp.reloading
	for i := range tp.cursors {
		cu := &tp.cursors[i]
		p := s.Sessions[cu.session]
		if p == nil || cu.sent == unknown {
			continue
		}
		p.Known, p.Sent, p.Backlog, p.Arrived = true, cu.sent, cu.backlog, cu.saved
		if !cu.session.Receipts {
			p.Arrived = max(cu.saved, cu.arrived)
			if cu.session.Conn(t).BytesSent(t) >= cu.arrivesAt {
				p.Arrived = cu.sent
			}
		}
	}
	return s
}
