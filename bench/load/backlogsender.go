package load

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"chatd/proto"
)

// backlogSender is a user that sends messages to offline users.
type backlogSender struct {
	*History
	number int

	conn    *Conn
	account Account
	window  int
	cid     [cidSize]byte
	text    []byte
	last    int64 // timestamp of the last message

	round, user    int        // position of the last message: its round, and the index of its recipient
	retry          []*backlog // recipients of refused messages
	outstanding    int
	throttledUntil time.Time // zero unless the server asked to wait
	refused        int64
	logs           map[int64]*pairLog // by the recipient's id
	body, out      []byte
}

// pairLog checks what one sender has sent to one user.
type pairLog struct {
	to        *backlog
	number    int64 // number of the last message sent
	sent, got *view
}

// login registers the sender and logs it in.
func (s *backlogSender) login(ctx context.Context, accounts *Accounts) (err error) {
	var window int64
	if s.conn, s.account, window, err = accounts.Register(ctx, s.number, true); err != nil {
		return err
	}
	s.window = int(min(window, historyWindow))
	s.text = NewText(s.size)
	putHex(s.cid[:], Nonce())
	return nil
}

// run sends all messages of this sender and blocks until they are acknowledged.
func (s *backlogSender) run(ctx context.Context) error {
	defer context.AfterFunc(ctx, s.conn.Close)()
	for {
		if s.encodeBatch(); len(s.out) > 0 {
			if _, err := s.conn.nc.Write(s.out); err != nil {
				return s.wrapError(err)
			}
		}
		switch {
		case s.outstanding > 0:
			if err := s.readAnswers(); err != nil {
				return err
			}
		case s.throttledUntil.IsZero():
			return nil
		default:
			if err := Sleep(ctx, time.Until(s.throttledUntil)); err != nil {
				return err
			}
		}
	}
}

func (s *backlogSender) wrapError(err error) error {
	if isTimeout(err) {
		return fmt.Errorf("sender %d: %d answers still missing after %s", s.account.ID, s.outstanding, s.patience)
	}
	return fmt.Errorf("sender %d: %w", s.account.ID, err)
}

// nextRecipient returns the recipient of the next message, or nil if none is
// left.
func (s *backlogSender) nextRecipient() *backlog {
	if n := len(s.retry); n > 0 {
		b := s.retry[n-1]
		s.retry = s.retry[:n-1]
		return b
	}
	// Round r of user u comes from sender (u + r) mod senders. The last round
	// may be incomplete: then only the first users get a message.
	if s.user < 0 {
		s.user = s.number
	} else {
		s.user += s.senders
	}
	for s.round*len(s.Backlogs) < s.Total {
		if s.user < min(len(s.Backlogs), s.Total-s.round*len(s.Backlogs)) {
			return s.Backlogs[s.user]
		}
		s.round++
		s.user = ((s.number-s.round)%s.senders + s.senders) % s.senders
	}
	return nil
}

// encodeBatch encodes as many messages as the window has room for into s.out.
func (s *backlogSender) encodeBatch() {
	s.out = s.out[:0]
	if !s.throttledUntil.IsZero() {
		if time.Now().Before(s.throttledUntil) {
			return
		}
		s.throttledUntil = time.Time{}
	}
	now := s.Clock.Now()
	for s.outstanding < s.window {
		b := s.nextRecipient()
		if b == nil {
			return
		}
		l := s.logs[b.user.ID]
		if l == nil {
			l = &pairLog{to: b, sent: newChatView(fmt.Sprintf("%d to %d, acks", s.account.ID, b.user.ID), 1, s.Faults),
				got: newChatView(fmt.Sprintf("%d to %d, read", s.account.ID, b.user.ID), 1, s.Faults)}
			s.logs[b.user.ID] = l
		}
		l.number++
		s.outstanding++
		s.last = max(now, s.last+1)
		putHex(s.text, uint64(l.number))
		putHex(s.text[hexSize:], uint64(s.last))
		putHex(s.cid[hexSize:], uint64(s.last))
		s.body = proto.AppendRequest(s.body[:0], &proto.Request{Op: proto.ONE_CHAT, ToID: b.user.ID, Msg: s.text, CID: s.cid[:]})
		s.out = proto.AppendFrame(s.out, s.body)
	}
}

// readAnswers reads once and handles the ACKs that have arrived.
func (s *backlogSender) readAnswers() error {
	if err := s.conn.nc.SetReadDeadline(time.Now().Add(s.patience)); err != nil {
		return s.wrapError(err)
	}
	if err := s.conn.fill(); err != nil {
		return s.wrapError(err)
	}
	for {
		a, err := s.conn.next()
		if err != nil {
			return s.wrapError(err)
		}
		if a == nil {
			s.Progress.ShowCount("messages", int(s.acked.Load()), s.Total)
			return nil
		}
		if err := s.handleAck(a); err != nil {
			return err
		}
	}
}

// handleAck handles an ACK. A message the server was too busy for is sent again
// as a new one.
func (s *backlogSender) handleAck(a *proto.Response) error {
	if a.Op != proto.ONE_CHAT_ACK {
		return s.wrapError(unexpectedFrame(a))
	}
	s.outstanding--
	l := s.logs[a.ToID]
	if l == nil || len(a.CID) != cidSize || !bytes.Equal(a.CID[:hexSize], s.cid[:hexSize]) {
		s.Faults.addf("sender %d: ACK of a message that it never sent, cid %q, toid %d", s.account.ID, a.CID, a.ToID)
		return nil
	}
	switch a.Errno {
	case proto.Done:
		stamp, _ := hex(a.CID[hexSize:])
		l.sent.addMessage(a.Seq, 0, int64(stamp)) // times rise as numbers do
		s.acked.Add(1)
		return nil
	case proto.TooFast:
		s.refused++
		s.throttledUntil = time.Now().Add(retryDelay(a))
		s.retry = append(s.retry, l.to)
		return nil
	default:
		return s.wrapError(unexpectedFrame(a))
	}
}
