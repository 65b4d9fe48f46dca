package crash

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"chatd/proto"
)

// maxSilence is how long a receiver waits for anything from the server, which
// answers its PINGs.
const maxSilence = 3 * pingEvery

// receiver is a device that only receives and relies on the server: on one
// connection, pushes must continue after its last receipt at the latest,
// without gaps. It never asks for missing messages.
type receiver struct {
	*journal
	readLock
	directory *directory
	addr      string
	token     string
	online    atomic.Bool                 // it has logged in
	lastHeard time.Time                   // when something was received; used by run only
	conn      atomic.Pointer[net.TCPConn] // for restart
}

func newReceiver(j *journal, dir *directory, addr string) *receiver {
	return &receiver{journal: j, directory: dir, addr: addr}
}

func (d *receiver) log() *journal     { return d.journal }
func (d *receiver) stopSending()      {}
func (d *receiver) loggedIn() bool    { return d.online.Load() }
func (d *receiver) allAnswered() bool { return true }

func (d *receiver) restart(time.Duration) {
	if c := d.conn.Load(); c != nil {
		d.notef("killed")
		reset(c)
	}
}

func (d *receiver) run(ctx context.Context) {
	for ctx.Err() == nil {
		err := d.connect(ctx)
		if ctx.Err() != nil {
			return
		}
		d.notef("disconnected: %v", err)
		if refusedFor(err, int64(proto.Refused)) {
			d.violate(LockedOut, "login refused: %v", err)
			<-ctx.Done()
			return
		}
		sleep(ctx, backoffMin*2)
	}
}

// refusal is the error of a request that the server refused.
type refusal struct {
	op    proto.Op
	errno int64
	text  string
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: errno %d: %s", r.op, r.errno, r.text) }

// isRefusal reports whether err is a refusal by the server.
func isRefusal(err error) bool {
	var r *refusal
	var e *proto.Error
	return errors.As(err, &r) || errors.As(err, &e)
}

// refusedFor reports whether err is a refusal by the server with this errno.
func refusedFor(err error, errno int64) bool {
	var r *refusal
	var e *proto.Error
	return errors.As(err, &r) && r.errno == errno || errors.As(err, &e) && int64(e.Errno) == errno
}

// connect connects and reads until the connection ends.
func (d *receiver) connect(ctx context.Context) error {
	dialer := net.Dialer{Timeout: dialTimeout}
	nc, err := dialer.DialContext(ctx, "tcp", d.addr)
	if err != nil {
		return err
	}
	c := nc.(*net.TCPConn)
	defer c.Close()
	defer context.AfterFunc(ctx, func() { c.Close() })()
	d.conn.Store(c)
	session := d.newSession()
	d.lastHeard = time.Now()

	p := d.directory.users[d.user]
	login := &proto.Request{Op: proto.LOGIN, Token: d.token, Ack: true, Brief: true}
	if d.token == "" {
		login = &proto.Request{Op: proto.LOGIN, Name: p.name, Password: p.password, Device: d.name, Ack: true, Brief: true}
	}
	if err := writeRequest(c, login); err != nil {
		return err
	}
	receipts := make(map[int]int64) // receipts to send, by conversation
	var receiptedAt, pinged time.Time
	r := bufio.NewReaderSize(&lockedReader{d, c}, pieceSize)
	var dec proto.Decoder
	var buf []byte
	for {
		if now := time.Now(); now.Sub(pinged) > pingEvery {
			pinged = now
			if err := writeRequest(c, &proto.Request{Op: proto.PING}); err != nil {
				return err
			}
		}
		if now := time.Now(); len(receipts) > 0 && now.Sub(receiptedAt) > receiptEvery {
			receiptedAt = now
			for conv, seq := range receipts {
				if err := writeRequest(c, d.receipt(conv, seq)); err != nil {
					return err
				}
				d.recordReceipt(conv, seq)
			}
			clear(receipts)
		}
		// Receipts and PINGs must be sent even if nothing arrives.
		if r.Buffered() == 0 {
			if err := c.SetReadDeadline(time.Now().Add(receiptEvery)); err != nil {
				return err
			}
			_, err := r.Peek(1)
			var timeout net.Error
			if errors.As(err, &timeout) && timeout.Timeout() && time.Since(d.lastHeard) < maxSilence {
				continue
			}
			if err != nil {
				return err
			}
		}
		if err := c.SetReadDeadline(time.Now().Add(maxSilence)); err != nil {
			return err
		}
		if buf, err = proto.ReadFrame(r, buf); err != nil {
			return err
		}
		a, err := dec.DecodeResponse(buf)
		if err != nil {
			return err
		}
		d.lastHeard = time.Now()
		if err := d.handleResponse(a, receipts, session); err != nil {
			return err
		}
	}
}

// handleResponse handles a frame from the server. An error ends the connection.
func (d *receiver) handleResponse(a *proto.Response, receipts map[int]int64, session int32) error {
	switch a.Op {
	case proto.LOGIN_ACK:
		if a.Errno != 0 {
			return &refusal{a.Op, int64(a.Errno), a.ErrMsg}
		}
		d.token = a.Token
		d.online.Store(true)
		d.notef("logged in on %s: %d missed messages, more: %t", a.Node, len(a.Offline), a.More)
		for i := range a.Offline {
			m := &a.Offline[i]
			d.handleMessage(receipts, m.GroupID, m.ID, m.ToID, m.Seq, m.Msg, session)
		}
	case proto.ONE_CHAT, proto.GROUP_CHAT:
		d.handleMessage(receipts, a.GroupID, a.ID, a.ToID, a.Seq, string(a.Msg), session)
	case proto.KICK:
		return fmt.Errorf("KICK %q: %s", a.Reason, a.ErrMsg)
	case proto.ERROR:
		return &refusal{a.Op, int64(a.Errno), a.ErrMsg}
	}
	return nil
}

func (d *receiver) handleMessage(receipts map[int]int64, group, from, to, seq int64, text string, session int32) {
	conv, ok := d.directory.byKey[newConvKey(group, from, to)]
	if !ok {
		d.violate(Invented, "was pushed %.80q from a conversation that its user isn't in", text)
		return
	}
	d.recordShown(conv, seq, text, session)
	receipts[conv] = max(receipts[conv], d.top(conv))
}

func (d *receiver) receipt(conv int, seq int64) *proto.Request {
	group, peer := d.directory.to(conv, d.user)
	return &proto.Request{Op: proto.RECEIPT, GroupID: group, Peer: peer, Seq: seq}
}

// writeRequest blocks for at most maxSilence.
func writeRequest(c net.Conn, q *proto.Request) error {
	if err := c.SetWriteDeadline(time.Now().Add(maxSilence)); err != nil {
		return err
	}
	body := proto.AppendRequest(nil, q)
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
	return err
}

// lockedReader reads only while the device may read.
type lockedReader struct {
	w *receiver
	r io.Reader
}

func (p *lockedReader) Read(b []byte) (int, error) {
	p.w.waitReadable()
	return p.r.Read(b)
}
