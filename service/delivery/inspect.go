package delivery

import (
	"context"

	"chatd/service/session"
)

// Snapshot is what the loops of this node have in memory of a conversation, for
// diagnostics.
type Snapshot struct {
	Known    bool  // some session here takes part in it
	Last     int64 // the highest seq heard of
	Early    int   // messages that wait for those with lower seqs
	Reading  bool  // a page of the log, or the members, are being read
	Sending  bool  // the message asked for has no answer yet
	Sessions map[*session.Session]*Progress
}

// Progress is a session's progress in the conversation.
type Progress struct {
	Live          bool
	Known         bool  // Sent and Arrived are known
	Sent          int64 // written to its connection up to there
	Arrived       int64 // receipted, or taken by the kernel, up to there
	Backlog       bool  // what is beyond comes from the log
	BacklogPaused bool  // the log waits for the connection
	Waiting       int   // bytes that the kernel hasn't taken
}

// Inquiry names the conversation and the sessions that Inspect looks at, and the
// message that it looks for.
type Inquiry struct {
	Conv, Group, PairSum int64 // Group 0: a pair, whose ids have that sum
	Sessions             []*session.Session
	Sender               int64
	CID                  []byte
}

// Inspect asks every loop. It blocks until all have answered or ctx ends. Errors
// are those of the context and the reactor.
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

// inspect goes once through the topic's sessions.
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
