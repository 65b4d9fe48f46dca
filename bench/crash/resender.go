package crash

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"chatd/proto"
)

const (
	resendEvery = 2 * time.Second // average pause of a resender
	resendBatch = 8               // messages on one connection
)

// resender is a further device of a user. It logs in now and then, and sends
// messages again that other devices of the user have sent, with the same cids: as
// a program does that starts from an old copy of its state. Each message got its
// ACK some time ago, from moments to the start of the run.
type resender struct {
	name    string
	user    *user
	senders []*sender // of the same user
	token   string
}

// runResenders runs a resender for each user, until ctx ends.
func (r *run) runResenders(ctx context.Context) {
	var running sync.WaitGroup
	defer running.Wait()
	for i, u := range r.directory.users {
		d := &resender{name: u.name + "'s backup", user: u}
		for _, other := range r.devices {
			if s, ok := other.(*sender); ok && s.user == i {
				d.senders = append(d.senders, s)
			}
		}
		running.Go(func() {
			rng := random(r.cfg.Seed, uint64(len(r.devices)+i+1))
			for sleep(ctx, resendEvery/2+rand.N(resendEvery)) {
				addr := r.cluster.frontLinks[rng.IntN(len(r.cluster.frontLinks))].addr()
				_ = d.resend(ctx, addr, rng) // answers that are missing after an error aren't checked
			}
		})
	}
}

// resend connects, and sends up to resendBatch messages. It records the answers.
// It blocks until all are there, for maxSilence at most.
func (d *resender) resend(ctx context.Context, addr string, rng *rand.Rand) error {
	dialer := net.Dialer{Timeout: dialTimeout}
	c, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	login := &proto.Request{Op: proto.LOGIN, Token: d.token, Brief: true}
	if d.token == "" {
		login = &proto.Request{Op: proto.LOGIN, Name: d.user.name, Password: d.user.password, Device: d.name, Brief: true}
	}
	if err := writeRequest(c, login); err != nil {
		return err
	}
	type key struct {
		cid         string
		group, peer int64
	}
	type place struct {
		sender *sender
		number int32
	}
	open := make(map[key]place) // messages without an answer
	r := bufio.NewReaderSize(c, pieceSize)
	var dec proto.Decoder
	var buf []byte
	for end := time.Now().Add(maxSilence); ; {
		if err := c.SetReadDeadline(end); err != nil {
			return err
		}
		if buf, err = proto.ReadFrame(r, buf); err != nil {
			return err
		}
		a, err := dec.DecodeResponse(buf)
		if err != nil {
			return err
		}
		switch a.Op {
		case proto.LOGIN_ACK:
			if a.Errno != proto.Done {
				return &refusal{a.Op, int64(a.Errno), a.ErrMsg}
			}
			d.token = a.Token
			for range resendBatch {
				s := d.senders[rng.IntN(len(d.senders))]
				m, e, ok := s.anyAcked(rng)
				if !ok {
					continue
				}
				group, peer := s.directory.to(e.conv, s.user)
				q := &proto.Request{Op: proto.ONE_CHAT, ToID: peer, Msg: []byte(m.text()), CID: []byte(e.cid), Retry: true}
				if group != 0 {
					q.Op, q.GroupID = proto.GROUP_CHAT, group
				}
				open[key{e.cid, group, peer}] = place{s, m.number}
				if err := writeRequest(c, q); err != nil {
					return err
				}
			}
		case proto.ONE_CHAT_ACK, proto.GROUP_CHAT_ACK:
			k := key{string(a.CID), a.GroupID, a.ToID}
			p, ok := open[k]
			if !ok {
				break
			}
			delete(open, k)
			if a.Errno != proto.TooFast && a.Errno != proto.Unavailable {
				p.sender.recordRepeat(repeat{number: p.number, seq: a.Seq, errno: a.Errno})
			}
		case proto.KICK, proto.ERROR:
			return errors.New("the server ends the connection")
		default: // others' messages
			continue
		}
		if len(open) == 0 {
			return nil
		}
	}
}
