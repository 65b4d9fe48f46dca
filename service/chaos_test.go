package service_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"chatd/proto"
)

var chaosSeed = flag.Uint64("chaos.seed", 0, "seed of TestChaos; 0: a random one")

// device is a client of the chaos test.
type device struct {
	user  int64
	name  string
	convs []conv
	w     *wire                     // nil: offline
	view  map[conv]map[int64]string // the cid of each seq, from pushes and ACKs
	floor map[conv]int64            // the last receipt that the server has certainly processed
}

// sent is a message that a device has sent.
type sent struct {
	c       conv
	r       obj
	by      *device
	again   bool  // it was resent
	session *wire // on which it was first sent
}

// chaos drives the devices of some users at random, and checks the results.
type chaos struct {
	t       *testing.T
	nodes   []*node
	lost    *atomic.Bool // if true, hints between nodes are lost; nil: there is one node
	rng     *rand.Rand
	devices []*device
	sent    []*sent
}

// Devices log in, disconnect, send, resend and send receipts at random. The
// guarantees hold: pushes arrive in order and not again after a receipt, a seq
// is the same message for everyone, an acknowledged message is in the log once,
// at the seq of its ACK, and in the end every device has all messages.
func TestChaos(t *testing.T) {
	t.Parallel()
	runChaos(t, []*node{serve(t, small)}, nil)
}

// The same with two nodes, between which half of the hints are lost.
func TestChaosOnTwoNodes(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t, small)
	runChaos(t, []*node{one, two}, lost)
}

// small sets a window so small that messages have to wait.
func small(s *setup) { s.service.Session.Window = 8 }

func runChaos(t *testing.T, nodes []*node, lost *atomic.Bool) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	defer func() {
		if t.Failed() {
			t.Logf("to repeat this run, use -chaos.seed=%d", seed)
		}
	}()
	x := &chaos{t: t, nodes: nodes, lost: lost, rng: rand.New(rand.NewPCG(seed, 0))}
	ids := nodes[0].users("anna", "berta", "carla")
	all, some := nodes[0].group(ids...), nodes[0].group(ids[0], ids[1])
	for i, id := range ids {
		convs := []conv{with(ids[0]), with(ids[1]), with(ids[2]), in(all), in(some)}
		if i == 2 {
			convs = convs[:4]
		}
		for _, name := range []string{"one", "two"} {
			d := &device{user: id, name: name, convs: convs, view: make(map[conv]map[int64]string), floor: make(map[conv]int64)}
			for _, c := range convs {
				d.view[c] = make(map[int64]string)
			}
			x.devices = append(x.devices, d)
			x.login(d) // before the first message, so that each view starts with seq 1
		}
	}
	for range 500 {
		x.step(x.devices[x.rng.IntN(len(x.devices))])
	}
	x.finish()
}

// step makes a device do something at random.
func (x *chaos) step(d *device) {
	if x.lost != nil {
		x.lost.Store(x.rng.IntN(2) == 0)
	}
	roll := x.rng.IntN(100)
	switch {
	case d.w == nil:
		x.login(d)
	case roll < 60:
		x.send(d, 1+x.rng.IntN(12))
	case roll < 80: // read, and send receipts
		x.settle(d)
		for _, c := range d.convs {
			if last := d.last(c); last > 0 && x.rng.IntN(2) == 0 {
				d.w.send(c.receipt(last, obj{"read": x.rng.IntN(2) == 0}))
				d.floor[c] = last
			}
		}
		d.w.barrier()
	case roll < 88 && len(x.sent) > 0: // resend messages, answered or not
		for range 3 {
			if s := x.sent[x.rng.IntN(len(x.sent))]; s.by.user == d.user {
				s.again = true
				d.w.send(s.r.with(obj{"retry": x.rng.IntN(4) > 0}))
			}
		}
	case roll < 92: // log in the same device again, with answers on their way
		x.send(d, 4)
		old := d.w
		d.w = nil
		if x.lost != nil {
			x.lost.Store(false) // the announcement of a login isn't repaired if it is lost
		}
		x.login(d)
		if f := old.kicked(); f != nil && f.str("reason") != proto.Replaced {
			x.t.Errorf("the replaced session got %v, want KICK with reason %s", f, proto.Replaced)
		}
		x.look(d, old)
	case roll < 96: // disconnect with answers on their way
		x.send(d, 4)
		d.w.close()
		d.w = nil
	default:
		x.settle(d)
		d.w.close()
		d.w = nil
	}
}

func (x *chaos) login(d *device) {
	floor := maps.Clone(d.floor)
	d.w = x.nodes[x.rng.IntN(len(x.nodes))].dial()
	tryLogin(d.w, d.user, obj{"device": d.name, "ack": true})
	d.w.floor = floor
}

func (x *chaos) send(d *device, count int) {
	reqs := make([]obj, count)
	for i := range reqs {
		c := d.convs[x.rng.IntN(len(d.convs))]
		reqs[i] = c.chat(fmt.Sprint("message ", len(x.sent)))
		x.sent = append(x.sent, &sent{c: c, r: reqs[i], by: d, session: d.w})
	}
	d.w.send(reqs...)
}

// settle reads until all requests of the device are answered.
func (x *chaos) settle(d *device) {
	d.w.barrier()
	x.look(d, d.w)
}

// look adds the messages that a session has got to the view of its device.
func (x *chaos) look(d *device, w *wire) {
	x.t.Helper()
	note := func(c conv, seq int64, cid string) {
		if before, ok := d.view[c][seq]; ok && before != cid {
			x.t.Errorf("user %d: seq %d of %v has cid %s, want %s as before", d.user, seq, c, cid, before)
		}
		d.view[c][seq] = cid
	}
	for c, ms := range w.bodies {
		for seq, m := range ms {
			// With two nodes, one may not know yet about a receipt sent to the
			// other.
			if seq <= w.floor[c] && len(x.nodes) == 1 {
				x.t.Errorf("user %d: seq %d of %v was pushed, want only seqs after the receipt for %d", d.user, seq, c, w.floor[c])
			}
			note(c, seq, m.str("cid"))
		}
		clear(ms)
	}
	for c, acks := range w.own {
		for seq, cid := range acks {
			note(c, seq, cid)
		}
		clear(acks)
	}
	for _, f := range w.stash {
		if f.op() != proto.KICK && f.op() != proto.RECEIPT && f.int("errno") != 0 {
			x.t.Errorf("user %d: got %v, want errno 0", d.user, f)
		}
	}
	w.stash = nil
}

// last returns the seq before the first gap in the view of a conversation.
func (d *device) last(c conv) int64 {
	seq := int64(0)
	for d.view[c][seq+1] != "" {
		seq++
	}
	return seq
}

// finish lets every device catch up, and compares their views with the log.
func (x *chaos) finish() {
	type key struct {
		c   conv // as the device's user addresses it
		cid string
	}
	for _, d := range x.devices {
		if d.w == nil {
			x.login(d)
		}
		x.settle(d)
	}
	seqs := make(map[*device]map[key]int64) // the seq of each cid in the log
	for _, d := range x.devices {
		seqs[d] = make(map[key]int64)
		for _, c := range d.convs {
			log := d.w.history(c)
			if n := int64(len(log)); n > 0 {
				for d.last(c) < n {
					d.w.next()
					x.look(d, d.w)
				}
			}
			for i, m := range log {
				k, seq := key{c, m.str("cid")}, int64(i+1)
				if seqs[d][k] != 0 {
					x.t.Errorf("cid %s is stored as seq %d and seq %d of %v, want it stored once", k.cid, seqs[d][k], seq, c)
				}
				seqs[d][k] = seq
				if d.view[c][seq] != k.cid {
					x.t.Errorf("user %d has cid %s as seq %d of %v, want %s as in the log", d.user, d.view[c][seq], seq, c, k.cid)
				}
			}
			if len(d.view[c]) != len(log) {
				x.t.Errorf("user %d has %d messages of %v, want %d as in the log", d.user, len(d.view[c]), c, len(log))
			}
		}
	}
	// Messages that were sent only once are stored in the order of sending.
	type stream struct {
		w *wire
		c conv
	}
	last := make(map[stream]int64)
	for _, s := range x.sent {
		seq := seqs[s.by][key{s.c, s.r["cid"].(string)}]
		if l := (stream{s.session, s.c}); seq != 0 && !s.again {
			if seq < last[l] {
				x.t.Errorf("%v is stored as seq %d, want it after seq %d, which was sent before it", s.r, seq, last[l])
			}
			last[l] = seq
		}
	}
}
