package main

import (
	"context"
	"fmt"
	"time"

	"chatd/proto"
)

// backlog is what waits for a user who is away.
type backlog struct {
	user   account
	text   *template          // to read texts with
	from   map[int64]*letters // by sender
	left   int64              // how many of them have not been read
	read   int64
	faults *faults
}

func newBacklog(u account, size int, f *faults) *backlog {
	return &backlog{user: u, text: &template{fill: textOf(size)[stampSize:]}, from: make(map[int64]*letters), faults: f}
}

// collect logs the user in and reads everything, says so with RECEIPT, and
// has a PONG show that nothing comes after it. What is missing is a fault.
func (b *backlog) collect(ctx context.Context, rt *returner, complete *meter, addr string, patience time.Duration) error {
	began := rt.clock.now()
	c, a, err := rt.enter(ctx, addr, b.user)
	if err != nil {
		return err
	}
	defer c.abort()
	defer context.AfterFunc(ctx, c.close)()
	for i := range a.Offline {
		m := &a.Offline[i]
		b.take(m.Op, m.ID, m.ToID, m.Seq, []byte(m.Msg))
	}
	for b.left > 0 {
		if _, err := b.more(c, patience); err != nil {
			if !gaveUp(err) {
				return fmt.Errorf("user %d: %w", b.user.id, err)
			}
			b.faults.addf("user %d: %d messages still missing after %s", b.user.id, b.left, patience)
			return nil
		}
	}
	rt.add(complete, began, rt.clock.now())

	var out []byte
	for id, l := range b.from {
		out = proto.AppendFrame(out, proto.AppendRequest(nil, &proto.Request{Op: proto.RECEIPT, Peer: id, Seq: l.got.seqs.last}))
	}
	out = proto.AppendFrame(out, proto.AppendRequest(nil, &proto.Request{Op: proto.PING}))
	if _, err := c.nc.Write(out); err != nil {
		return fmt.Errorf("user %d: receipt: %w", b.user.id, err)
	}
	for pong := false; !pong; {
		if pong, err = b.more(c, patience); err != nil {
			return fmt.Errorf("user %d, who has everything: %w", b.user.id, err)
		}
	}
	return nil
}

// more takes the next frame, and says whether it is a PONG.
func (b *backlog) more(c *conn, patience time.Duration) (pong bool, err error) {
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
			b.take(m.Op, m.ID, m.ToID, m.Seq, m.Msg)
			return false, nil
		case m.Op == proto.PONG:
			return true, nil
		default:
			return false, unexpected(m)
		}
	}
}

// take checks a message.
func (b *backlog) take(op proto.Op, from, to, seq int64, text []byte) {
	b.read++
	l := b.from[from]
	if l == nil || op != proto.ONE_CHAT || to != b.user.id {
		b.faults.addf("user %d: %s from %d to %d, which nobody has sent", b.user.id, op, from, to)
		return
	}
	// What comes after a gap is not waited for longer than if all had come.
	b.left -= max(seq-l.got.seqs.last, 0)
	n, _, ok := b.text.read(text)
	if !ok {
		b.faults.addf("%s: seq %d arrived altered", l.got.who, seq)
		l.got.seqs.last = max(seq, l.got.seqs.last)
		return
	}
	l.got.chat(seq, 0, n)
}
