package main

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// voice is what a member has to say. In a closed loop as much is always on
// the way as the window has room for; in an open loop each message has its
// time, and waits where the window has no room then.
type voice struct {
	room     *room
	member   *member
	me       account
	template *template
	cid      []byte // of its messages, without the time
	index    int    // in the room
	slot     int    // in the schedule of an open loop

	// Of what is stored, for the goroutine that reads the ACKs alone.
	acks        *view
	meter       *meter
	pausedUntil time.Time

	// Of what is relayed: how many have each half of a window.
	hearers int32
	waves   [waves]atomic.Int32

	mu       sync.Mutex
	out      []byte
	left     int64 // messages still to be sent; below 0: no end
	number   int64 // of the last one sent
	freed    int64 // of those, how many are on the way no more
	accepted int64 // and were acknowledged
	freedAt  int64 // when the window, having been full, had room again
	paused   bool  // the server has asked for it
	closed   bool  // nothing is sent any more
	over     bool  // nor awaited
	total    int64 // what was said then
}

// waves is how many halves of a window may be under way, and one that begins.
const waves = 4

func newVoice(r *room, m *member, me account, t *template, quota int64) *voice {
	v := &voice{room: r, member: m, me: me, template: t, left: quota}
	if t.cid != 0 {
		v.cid = bytes.Clone(t.frame[t.cid-hexSize : t.cid])
	}
	return v
}

// send sends what the window has room for and, in an open loop, is due. Any
// goroutine may call it.
func (v *voice) send() error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.sendLocked()
}

func (v *voice) sendLocked() error {
	l := v.room.l
	v.out = v.out[:0]
	now := l.clock.now()
	for !v.closed && !v.paused && !l.stopped.Load() && v.number-v.freed < int64(l.window) {
		at := now
		if l.pace != nil {
			if at = l.pace.at(v.slot, v.number); at > now {
				break
			}
			l.pace.sent(now, at, v.freedAt)
		}
		v.number++
		v.out = v.template.append(v.out, v.number, at)
		if v.left > 0 {
			v.left--
		}
		v.closed = v.left == 0
	}
	var err error
	if len(v.out) > 0 {
		_, err = v.member.c.nc.Write(v.out)
	}
	v.settle()
	return err
}

// settle tells the room once there is nothing more to come of this voice.
func (v *voice) settle() {
	if v.over || !v.closed || v.room.stored && v.freed < v.number {
		return
	}
	v.over, v.total = true, v.number
	if v.room.stored {
		v.total = v.accepted
	}
	v.room.over(v.total)
}

// free says that the first n messages are on the way no more, and sends what
// there is room for now. Any goroutine may call it.
func (v *voice) free(n int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.freeLocked(n)
}

// answered is free for what is stored: n answers have come.
func (v *voice) answered(n int64) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.accepted = v.acks.count
	return v.freeLocked(n)
}

func (v *voice) freeLocked(n int64) error {
	if n > v.freed {
		if v.number-v.freed >= int64(v.room.l.window) {
			v.freedAt = v.room.l.clock.now()
		}
		v.freed = n
	}
	return v.sendLocked()
}

// stop has nothing more sent. Any goroutine may call it.
func (v *voice) stop() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if p := v.room.l.pace; p != nil && !v.closed {
		p.unsent(v.slot, v.number)
	}
	v.closed = true
	v.settle()
}

// unanswered is how many messages are on the way.
func (v *voice) unanswered() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.number - v.freed
}

// abandon is for a member whose connection is broken: nobody has to wait for
// it.
func (v *voice) abandon() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.closed, v.freed = true, v.number
	v.settle()
}

// answer takes the ACK of a message: ok with the time of sending where that is
// one of success.
func (v *voice) answer(a *proto.Response) (sent int64, ok bool, err error) {
	if len(a.CID) != cidSize || !bytes.Equal(a.CID[:hexSize], v.cid) || a.ToID != v.room.toID || a.GroupID != v.room.groupID {
		v.acks.faults.addf("%s: an answer to nothing that was sent, cid %q, toid %d, groupid %d", v.acks.who, a.CID, a.ToID, a.GroupID)
		return 0, false, nil
	}
	stamp, _ := hex(a.CID[hexSize:])
	switch a.Errno {
	case proto.Done:
		// Times rise as numbers do.
		v.acks.chat(a.Seq, 0, int64(stamp))
		return int64(stamp), true, nil
	case proto.TooFast:
		v.meter.refuse(int32(a.Errno))
		v.pausedUntil = time.Now().Add(retryAfter(a))
		v.pause(true)
		v.room.l.wakeAt(v.member.c, v.pausedUntil)
		return 0, false, nil
	default:
		v.meter.refuse(int32(a.Errno))
		return 0, false, fmt.Errorf("%s: %w", v.acks.who, unexpected(a))
	}
}

func (v *voice) pause(paused bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.paused = paused
	v.freedAt = v.room.l.clock.now()
}

// resume ends a pause once it is over, and waits on where it isn't.
func (v *voice) resume() error {
	if v.pausedUntil.IsZero() {
		return nil
	}
	if time.Now().Before(v.pausedUntil) {
		v.room.l.wakeAt(v.member.c, v.pausedUntil)
		return nil
	}
	v.pausedUntil = time.Time{}
	v.pause(false)
	return v.send()
}

// heard says that a hearer who had messages up to from has them up to now.
// What is relayed makes room in the window once all hearers have it: one alone
// for each message, of many the last for half a window at a time.
func (v *voice) heard(from, now int64) error {
	if v.hearers == 1 {
		return v.free(now)
	}
	half := max(int64(v.room.l.window)/2, 1)
	for wave := from / half; wave < now/half; wave++ {
		w := &v.waves[wave%waves]
		if w.Add(1) < v.hearers {
			continue
		}
		w.Store(0)
		if err := v.free((wave + 1) * half); err != nil {
			return err
		}
	}
	return nil
}

// newChat is a message to peer before it is stamped, with a cid that no other
// connection has.
func newChat(peer int64, text []byte) *proto.Request {
	cid := make([]byte, hexSize, cidSize)
	putHex(cid, nonce())
	return &proto.Request{Op: proto.ONE_CHAT, ToID: peer, Msg: text, CID: append(cid, cidMark...)}
}
