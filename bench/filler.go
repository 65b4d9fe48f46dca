package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"chatd/proto"
)

// filler is a sender of a history: it fills backlogs with messages of its own.
type filler struct {
	*history
	number int

	conn   *conn
	me     account
	window int
	cid    [cidSize]byte
	text   []byte
	last   int64 // the time last written

	round, at   int        // which message of which user was the last
	again       []*backlog // whose message was refused
	outstanding int
	throttled   time.Time // not before then anything is sent
	refused     int64
	letters     map[int64]*letters // by user
	body, out   []byte
}

// letters are what one sender has sent to one user.
type letters struct {
	to        *backlog
	number    int64 // of the last one sent
	sent, got *view
}

// enter logs the sender in.
func (f *filler) enter(ctx context.Context, rs *recruits) (err error) {
	var window int64
	if f.conn, f.me, window, err = rs.enter(ctx, f.number, true); err != nil {
		return err
	}
	f.window = int(min(window, historyWindow))
	f.text = textOf(f.size)
	putHex(f.cid[:], nonce())
	return nil
}

// run sends all that is this sender's to send, and reads the answers.
func (f *filler) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, f.conn.close)()
	for {
		if f.fill(); len(f.out) > 0 {
			if _, err := f.conn.nc.Write(f.out); err != nil {
				return f.broken(err)
			}
		}
		switch {
		case f.outstanding > 0:
			if err := f.listen(); err != nil {
				return err
			}
		case f.throttled.IsZero():
			return nil
		default:
			if err := sleep(ctx, time.Until(f.throttled)); err != nil {
				return err
			}
		}
	}
}

func (f *filler) broken(err error) error {
	if gaveUp(err) {
		return fmt.Errorf("sender %d: %d answers still missing after %s", f.me.id, f.outstanding, f.patience)
	}
	return fmt.Errorf("sender %d: %w", f.me.id, err)
}

// next is for whom the next message is; nil: there is none.
func (f *filler) next() *backlog {
	if n := len(f.again); n > 0 {
		b := f.again[n-1]
		f.again = f.again[:n-1]
		return b
	}
	// Message number round of user at is from sender (at + round) mod senders;
	// a last round that isn't whole is for the first users.
	if f.at < 0 {
		f.at = f.number
	} else {
		f.at += f.senders
	}
	for f.round*len(f.missed) < f.total {
		if f.at < min(len(f.missed), f.total-f.round*len(f.missed)) {
			return f.missed[f.at]
		}
		f.round++
		f.at = ((f.number-f.round)%f.senders + f.senders) % f.senders
	}
	return nil
}

// fill makes what the window has room for.
func (f *filler) fill() {
	f.out = f.out[:0]
	if !f.throttled.IsZero() {
		if time.Now().Before(f.throttled) {
			return
		}
		f.throttled = time.Time{}
	}
	now := f.clock.now()
	for f.outstanding < f.window {
		b := f.next()
		if b == nil {
			return
		}
		l := f.letters[b.user.id]
		if l == nil {
			l = &letters{to: b, sent: newChatView(fmt.Sprintf("%d to %d, acks", f.me.id, b.user.id), 1, f.faults),
				got: newChatView(fmt.Sprintf("%d to %d, read", f.me.id, b.user.id), 1, f.faults)}
			f.letters[b.user.id] = l
		}
		l.number++
		f.outstanding++
		f.last = max(now, f.last+1)
		putHex(f.text, uint64(l.number))
		putHex(f.text[hexSize:], uint64(f.last))
		putHex(f.cid[hexSize:], uint64(f.last))
		f.body = proto.AppendRequest(f.body[:0], &proto.Request{Op: proto.ONE_CHAT, ToID: b.user.id, Msg: f.text, CID: f.cid[:]})
		f.out = proto.AppendFrame(f.out, f.body)
	}
}

// listen reads answers.
func (f *filler) listen() error {
	if err := f.conn.nc.SetReadDeadline(time.Now().Add(f.patience)); err != nil {
		return f.broken(err)
	}
	if err := f.conn.fill(); err != nil {
		return f.broken(err)
	}
	for {
		a, err := f.conn.next()
		if err != nil {
			return f.broken(err)
		}
		if a == nil {
			f.progress.count("messages", int(f.done.Load()), f.total)
			return nil
		}
		if err := f.answer(a); err != nil {
			return err
		}
	}
}

// answer takes an ACK. What was refused is sent again, as a new message.
func (f *filler) answer(a *proto.Response) error {
	if a.Op != proto.ONE_CHAT_ACK {
		return f.broken(unexpected(a))
	}
	f.outstanding--
	l := f.letters[a.ToID]
	if l == nil || len(a.CID) != cidSize || !bytes.Equal(a.CID[:hexSize], f.cid[:hexSize]) {
		f.faults.addf("sender %d: an answer to nothing that was sent, cid %q, toid %d", f.me.id, a.CID, a.ToID)
		return nil
	}
	switch a.Errno {
	case proto.Done:
		stamp, _ := hex(a.CID[hexSize:])
		l.sent.chat(a.Seq, 0, int64(stamp)) // times rise as numbers do
		f.done.Add(1)
		return nil
	case proto.TooFast:
		f.refused++
		f.throttled = time.Now().Add(retryAfter(a))
		f.again = append(f.again, l.to)
		return nil
	default:
		return f.broken(unexpected(a))
	}
}
