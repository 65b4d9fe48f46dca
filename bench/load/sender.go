package load

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// sender is what a member has to say. In a closed loop as much is always on
// the way as the window has room for; in an open loop each message has its
// time, and waits where the window has no room then.
type sender struct {
	room     *Room
	member   *member
	me       Account
	template *Template
	cid      []byte // of its messages, without the time
	index    int    // in the room
	slot     int    // in the schedule of an open loop

	// Of what is stored, for the goroutine that reads the ACKs alone.
	acks           *view
	recorder       *Recorder
	throttledUntil time.Time

	// Of what is relayed: how many have each half of a window.
	receivers int32
	halves    [maxHalves]atomic.Int32

	mu         sync.Mutex
	out        []byte
	remaining  int64 // messages still to be sent; below 0: no end
	lastNumber int64 // of the last one sent
	released   int64 // of those, how many are on the way no more
	ackedCount int64 // and were acknowledged
	roomAt     int64 // when the window, having been full, had room again
	throttled  bool  // the server has asked for it
	closed     bool  // nothing is sent any more
	done       bool  // nor awaited
	total      int64 // what was said then
}

// maxHalves is how many halves of a window may be under way, and one that begins.
const maxHalves = 4

func newSender(r *Room, m *member, me Account, t *Template, quota int64) *sender {
	s := &sender{room: r, member: m, me: me, template: t, remaining: quota}
	if t.cid != 0 {
		s.cid = bytes.Clone(t.frame[t.cid-hexSize : t.cid])
	}
	return s
}

// send sends what the window has room for and, in an open loop, is due. Any
// goroutine may call it.
func (s *sender) send() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sendLocked()
}

func (s *sender) sendLocked() error {
	g := s.room.l
	s.out = s.out[:0]
	now := g.Clock.Now()
	for !s.closed && !s.throttled && !g.stopped.Load() && s.lastNumber-s.released < int64(g.Window) {
		at := now
		if g.schedule != nil {
			if at = g.schedule.senderDue(s.slot, s.lastNumber); at > now {
				break
			}
			g.schedule.recordSent(now, at, s.roomAt)
		}
		s.lastNumber++
		s.out = s.template.append(s.out, s.lastNumber, at)
		if s.remaining > 0 {
			s.remaining--
		}
		s.closed = s.remaining == 0
	}
	var err error
	if len(s.out) > 0 {
		_, err = s.member.c.nc.Write(s.out)
	}
	s.finishIfDone()
	return err
}

// finishIfDone tells the room once there is nothing more to come of this voice.
func (s *sender) finishIfDone() {
	if s.done || !s.closed || s.room.stored && s.released < s.lastNumber {
		return
	}
	s.done, s.total = true, s.lastNumber
	if s.room.stored {
		s.total = s.ackedCount
	}
	s.room.senderDone(s.total)
}

// release says that the first n messages are on the way no more, and sends what
// there is room for now. Any goroutine may call it.
func (s *sender) release(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.releaseLocked(n)
}

// releaseAcked is free for what is stored: n answers have come.
func (s *sender) releaseAcked(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ackedCount = s.acks.count
	return s.releaseLocked(n)
}

func (s *sender) releaseLocked(n int64) error {
	if n > s.released {
		if s.lastNumber-s.released >= int64(s.room.l.Window) {
			s.roomAt = s.room.l.Clock.Now()
		}
		s.released = n
	}
	return s.sendLocked()
}

// stop has nothing more sent. Any goroutine may call it.
func (v *sender) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p := v.room.l.schedule; p != nil && !v.closed {
		p.countMissed(v.slot, v.lastNumber)
	}
	v.closed = true
	v.finishIfDone()
}

// inFlight is how many messages are on the way.
func (s *sender) inFlight() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastNumber - s.released
}

// abandon is for a member whose connection is broken: nobody has to wait for
// it.
func (s *sender) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.released = true, s.lastNumber
	s.finishIfDone()
}

// handleAck takes the ACK of a message: ok with the time of sending where that is
// one of success.
func (s *sender) handleAck(a *proto.Response) (sent int64, ok bool, err error) {
	if len(a.CID) != cidSize || !bytes.Equal(a.CID[:hexSize], s.cid) || a.ToID != s.room.toID || a.GroupID != s.room.GroupID {
		s.acks.faults.addf("%s: an answer to nothing that was sent, cid %q, toid %d, groupid %d", s.acks.who, a.CID, a.ToID, a.GroupID)
		return 0, false, nil
	}
	stamp, _ := hex(a.CID[hexSize:])
	switch a.Errno {
	case proto.Done:
		// Times rise as numbers do.
		s.acks.addMessage(a.Seq, 0, int64(stamp))
		return int64(stamp), true, nil
	case proto.TooFast:
		s.recorder.refuse(int32(a.Errno))
		s.throttledUntil = time.Now().Add(retryDelay(a))
		s.setThrottled(true)
		s.room.l.wakeReaderAt(s.member.c, s.throttledUntil)
		return 0, false, nil
	default:
		s.recorder.refuse(int32(a.Errno))
		return 0, false, fmt.Errorf("%s: %w", s.acks.who, unexpectedFrame(a))
	}
}

func (s *sender) setThrottled(paused bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.throttled = paused
	s.roomAt = s.room.l.Clock.Now()
}

// resumeIfDue ends a pause once it is over, and waits on where it isn't.
func (s *sender) resumeIfDue() error {
	if s.throttledUntil.IsZero() {
		return nil
	}
	if time.Now().Before(s.throttledUntil) {
		s.room.l.wakeReaderAt(s.member.c, s.throttledUntil)
		return nil
	}
	s.throttledUntil = time.Time{}
	s.setThrottled(false)
	return s.send()
}

// delivered says that a hearer who had messages up to from has them up to now.
// What is relayed makes room in the window once all hearers have it: one alone
// for each message, of many the last for half a window at a time.
func (s *sender) delivered(from, now int64) error {
	if s.receivers == 1 {
		return s.release(now)
	}
	half := max(int64(s.room.l.Window)/2, 1)
	for wave := from / half; wave < now/half; wave++ {
		w := &s.halves[wave%maxHalves]
		if w.Add(1) < s.receivers {
			continue
		}
		w.Store(0)
		if err := s.release((wave + 1) * half); err != nil {
			return err
		}
	}
	return nil
}

// newChat is a message to peer before it is stamped, with a cid that no other
// connection has.
func newChat(peer int64, text []byte) *proto.Request {
	cid := make([]byte, hexSize, cidSize)
	putHex(cid, Nonce())
	return &proto.Request{Op: proto.ONE_CHAT, ToID: peer, Msg: text, CID: append(cid, cidMark...)}
}
