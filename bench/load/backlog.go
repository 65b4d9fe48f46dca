package load

import (
	"context"
	"fmt"
	"time"

	"chatd/proto"
)

// backlog is the set of messages that wait on the server for one offline user.
type backlog struct {
	user      Account
	text      *Template          // to parse texts
	senders   map[int64]*pairLog // by the sender's id
	missing   int64              // sent and not yet read
	ReadCount int64
	faults    *Faults
}

func newBacklog(u Account, size int, f *Faults) *backlog {
	return &backlog{user: u, text: &Template{fill: NewText(size)[StampSize:]}, senders: make(map[int64]*pairLog), faults: f}
}

// collect logs the user in, reads everything, sends RECEIPT, and checks by PING
// and PONG that nothing follows. Missing messages count as faults. If complete
// isn't nil, it records the time from connecting to the last message.
func (b *backlog) collect(ctx context.Context, w *LoginWorker, complete *Recorder, addr string, patience time.Duration) error {
	began := w.Clock.Now()
	c, a, err := w.Login(ctx, addr, b.user)
	if err != nil {
		return err
	}
	defer c.Abort()
	defer context.AfterFunc(ctx, c.Close)()
	for i := range a.Offline {
		m := &a.Offline[i]
		b.check(m.Op, m.ID, m.ToID, m.Seq, []byte(m.Msg))
	}
	for b.missing > 0 {
		if _, err := b.readOne(c, patience); err != nil {
			if !isTimeout(err) {
				return fmt.Errorf("user %d: %w", b.user.ID, err)
			}
			b.faults.addf("user %d: %d messages still missing after %s", b.user.ID, b.missing, patience)
			return nil
		}
	}
	w.record(complete, began, w.Clock.Now())

	var out []byte
	for id, l := range b.senders {
		out = proto.AppendFrame(out, proto.AppendRequest(nil, &proto.Request{Op: proto.RECEIPT, Peer: id, Seq: l.got.seqs.last}))
	}
	out = proto.AppendFrame(out, proto.AppendRequest(nil, &proto.Request{Op: proto.PING}))
	if _, err := c.nc.Write(out); err != nil {
		return fmt.Errorf("user %d: receipt: %w", b.user.ID, err)
	}
	for pong := false; !pong; {
		if pong, err = b.readOne(c, patience); err != nil {
			return fmt.Errorf("user %d: after the last message: %w", b.user.ID, err)
		}
	}
	return nil
}

// readOne reads one frame and reports whether it is a PONG.
func (b *backlog) readOne(c *Conn, patience time.Duration) (pong bool, err error) {
	for {
		m, err := c.next()
		switch {
		case err != nil:
			return false, err
		case m == nil:
			if err := c.nc.SetDeadline(time.Now().Add(patience)); err != nil {
				return false, err
			}
			if err := c.fill(); err != nil {
				return false, err
			}
		case m.Op == proto.ONE_CHAT:
			b.check(m.Op, m.ID, m.ToID, m.Seq, m.Msg)
			return false, nil
		case m.Op == proto.PONG:
			return true, nil
		default:
			return false, unexpectedFrame(m)
		}
	}
}

func (b *backlog) check(op proto.Op, from, to, seq int64, text []byte) {
	b.ReadCount++
	l := b.senders[from]
	if l == nil || op != proto.ONE_CHAT || to != b.user.ID {
		b.faults.addf("user %d: %s from %d to %d, which nobody sent", b.user.ID, op, from, to)
		return
	}
	// Messages lost before this one aren't waited for.
	b.missing -= max(seq-l.got.seqs.last, 0)
	n, _, ok := b.text.read(text)
	if !ok {
		b.faults.addf("%s: seq %d has an altered text", l.got.who, seq)
		l.got.seqs.last = max(seq, l.got.seqs.last)
		return
	}
	l.got.addMessage(seq, 0, n)
}
