package load

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"chatd/proto"
)

// backlogSender is a sender of a history: it fills backlogs with messages of its own.
type backlogSender struct {
	*History
	number int

	conn    *Conn
	account Account
	window  int
	cid     [cidSize]byte
	text    []byte
	last    int64 // the time last written

	round, user    int        // which message of which user was the last
	retry          []*backlog // whose message was refused
	outstanding    int
	throttledUntil time.Time // not before then anything is sent
	refused        int64
	logs           map[int64]*pairLog // by user
	body, out      []byte
}

// pairLog are what one sender has sent to one user.
type pairLog struct {
	to        *backlog
	number    int64 // of the last one sent
	sent, got *view
}

// login logs the sender in.
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

// run sends all that is this sender's to send, and reads the answers.
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

// nextRecipient is for whom the next message is; nil: there is none.
func (s *backlogSender) nextRecipient() *backlog {
	if n := len(s.retry); n > 0 {
		b := s.retry[n-1]
		s.retry = s.retry[:n-1]
		return b
	}
	// Message number round of user at is from sender (at + round) mod senders;
	// a last round that isn't whole is for the first users.
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

// encodeBatch makes what the window has room for.
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

// readAnswers reads answers.
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

// handleAck takes an ACK. What was refused is sent again, as a new message.
func (s *backlogSender) handleAck(a *proto.Response) error {
	if a.Op != proto.ONE_CHAT_ACK {
		return s.wrapError(unexpectedFrame(a))
	}
	s.outstanding--
	l := s.logs[a.ToID]
	if l == nil || len(a.CID) != cidSize || !bytes.Equal(a.CID[:hexSize], s.cid[:hexSize]) {
		s.Faults.addf("sender %d: an answer to nothing that was sent, cid %q, toid %d", s.account.ID, a.CID, a.ToID)
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
