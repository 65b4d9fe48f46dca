package load

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// sender sends the messages of one member. In a closed loop it keeps the window
// full. In an open loop each message has a due time, and waits if the window is
// full then.
type sender struct {
	room     *Room
	member   *member
	me       Account
	template *Template
	cid      []byte // cid of its messages, without the time
	index    int    // in the room
	slot     int    // in the schedule of an open loop

	// For stored messages. Only the goroutine that reads the ACKs uses these.
	acks           *view
	recorder       *Recorder
	throttledUntil time.Time

	// For relayed messages: how many receivers have each half of a window.
	receivers int32
	halves    [maxHalves]atomic.Int32

	mu         sync.Mutex
	out        []byte
	remaining  int64 // messages to send; negative: no limit
	lastNumber int64 // number of the last message sent
	released   int64 // messages no longer in flight
	ackedCount int64 // messages acknowledged
	roomAt     int64 // when the window last got room after being full
	throttled  bool  // the server refused a message as too fast, and the wait isn't over
	closed     bool  // nothing more is sent
	done       bool  // and no ACK is outstanding
	total      int64 // messages sent, once done
}

// maxHalves is how many window halves can be in flight, plus one that begins.
const maxHalves = 4

func newSender(r *Room, m *member, me Account, t *Template, quota int64) *sender {
	s := &sender{room: r, member: m, me: me, template: t, remaining: quota}
	if t.cid != 0 {
		s.cid = bytes.Clone(t.frame[t.cid-hexSize : t.cid])
	}
	return s
}

// send sends what is due and has room in the window. Any goroutine may call it.
func (s *sender) send() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sendLocked()
}

func (s *sender) sendLocked() error {
	g := s.room.generator
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

// finishIfDone calls Room.senderDone once the sender has nothing more to send
// or to wait for.
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

// release takes the first n messages out of the window and sends more. Any
// goroutine may call it.
func (s *sender) release(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.releaseLocked(n)
}

// releaseAcked is like release, for stored messages. n is the number of
// answered ones.
func (s *sender) releaseAcked(n int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ackedCount = s.acks.count
	return s.releaseLocked(n)
}

func (s *sender) releaseLocked(n int64) error {
	if n > s.released {
		if s.lastNumber-s.released >= int64(s.room.generator.Window) {
			s.roomAt = s.room.generator.Clock.Now()
		}
		s.released = n
	}
	return s.sendLocked()
}

// stop ends sending. Any goroutine may call it.
func (s *sender) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sched := s.room.generator.schedule; sched != nil && !s.closed {
		sched.countMissed(s.slot, s.lastNumber)
	}
	s.closed = true
	s.finishIfDone()
}

func (s *sender) inFlight() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lastNumber - s.released
}

// abandon gives up on all messages because the connection failed.
func (s *sender) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.released = true, s.lastNumber
	s.finishIfDone()
}

// handleAck handles an ACK. If the message was stored, it returns true and the
// time of sending.
func (s *sender) handleAck(a *proto.Response) (sent int64, ok bool, err error) {
	if len(a.CID) != cidSize || !bytes.Equal(a.CID[:hexSize], s.cid) || a.ToID != s.room.toID || a.GroupID != s.room.GroupID {
		s.acks.faults.addf("%s: ACK of a message that it never sent, cid %q, toid %d, groupid %d", s.acks.who, a.CID, a.ToID, a.GroupID)
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
		s.room.generator.wakeReaderAt(s.member.c, s.throttledUntil)
		return 0, false, nil
	default:
		s.recorder.refuse(int32(a.Errno))
		return 0, false, fmt.Errorf("%s: %w", s.acks.who, unexpectedFrame(a))
	}
}

func (s *sender) setThrottled(throttled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.throttled = throttled
	s.roomAt = s.room.generator.Clock.Now()
}

// resumeIfDue resumes sending if the server's wait time is over.
func (s *sender) resumeIfDue() error {
	if s.throttledUntil.IsZero() {
		return nil
	}
	if time.Now().Before(s.throttledUntil) {
		s.room.generator.wakeReaderAt(s.member.c, s.throttledUntil)
		return nil
	}
	s.throttledUntil = time.Time{}
	s.setThrottled(false)
	return s.send()
}

// delivered records how many messages a receiver had before, and how many it has
// now. Relayed messages leave the window once all receivers have them: in a pair
// one by one, in a group half a window at a time.
func (s *sender) delivered(before, now int64) error {
	if s.receivers == 1 {
		return s.release(now)
	}
	half := max(int64(s.room.generator.Window)/2, 1)
	for wave := before / half; wave < now/half; wave++ {
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

// newChat returns a message to peer with placeholders, and a cid that no other
// connection uses.
func newChat(peer int64, text []byte) *proto.Request {
	cid := make([]byte, hexSize, cidSize)
	putHex(cid, Nonce())
	return &proto.Request{Op: proto.ONE_CHAT, ToID: peer, Msg: text, CID: append(cid, cidMark...)}
}
