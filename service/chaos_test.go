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

var chaosSeed = flag.Uint64("chaos.seed", 0, "seed of TestChaos; 0: a new one each time")

// device is a client of the chaos test: what a real one keeps of its
// conversations, and the connection that it has at the moment.
type device struct {
	user  int64
	name  string
	convs []conv
	w     *wire                     // nil: offline
	view  map[conv]map[int64]string // the cid of each seq, pushed or acknowledged
	floor map[conv]int64            // receipted, and the server has certainly heard
}

// sent is a message as it was first sent.
type sent struct {
	c       conv
	r       obj
	by      *device
	again   bool // sent a second time
	session *wire
}

// chaos drives the devices of some users on one node at random, and keeps
// what has to come of it.
type chaos struct {
	t       *testing.T
	nodes   []*node
	lost    *atomic.Bool // what the nodes tell each other; nil: one node
	rng     *rand.Rand
	devices []*device
	sent    []*sent
}

// Devices come, go, send, repeat and receipt at random. Whatever they do, each
// one's view stays within the laws: pushes rise and never come again once
// receipted, one seq is one message for everyone, an acknowledged message
// stands in the log where the ACK said, once, and in the end every device has
// everything.
func TestChaos(t *testing.T) {
	t.Parallel()
	runChaos(t, []*node{serve(t, small)}, nil)
}

// The same on two nodes that lose each other's hints half of the time.
func TestChaosOnTwoNodes(t *testing.T) {
	t.Parallel()
	one, two, lost := pairOfNodes(t, small)
	runChaos(t, []*node{one, two}, lost)
}

// small is a window that makes messages wait.
func small(s *setup) { s.service.Session.Window = 8 }

func runChaos(t *testing.T, nodes []*node, lost *atomic.Bool) {
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	defer func() {
		if t.Failed() {
			t.Logf("again with -chaos.seed=%d", seed)
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
			x.login(d) // before anything is said: each view begins at the beginning
		}
	}
	for range 500 {
		x.step(x.devices[x.rng.IntN(len(x.devices))])
	}
	x.finish()
}

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
	case roll < 80: // reads, and says how far it has come
		x.settle(d)
		for _, c := range d.convs {
			if last := d.last(c); last > 0 && x.rng.IntN(2) == 0 {
				d.w.send(c.receipt(last, obj{"read": x.rng.IntN(2) == 0}))
				d.floor[c] = last
			}
		}
		d.w.barrier()
	case roll < 88 && len(x.sent) > 0: // repeats, whether or not it has its answer
		for range 3 {
			if s := x.sent[x.rng.IntN(len(x.sent))]; s.by.user == d.user {
				s.again = true
				d.w.send(s.r.with(obj{"retry": x.rng.IntN(4) > 0}))
			}
		}
	case roll < 92: // the same device again, while the first is in the middle of it
		x.send(d, 4)
		old := d.w
		d.w = nil
		if x.lost != nil {
			x.lost.Store(false) // that a device is elsewhere now is nowhere else to be read
		}
		x.login(d)
		if f := old.kicked(); f != nil && f.str("reason") != proto.Replaced {
			x.t.Errorf("%v", f)
		}
		x.look(d, old)
	case roll < 96: // gone with answers on their way
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

// settle reads until all that the device has asked for is answered.
func (x *chaos) settle(d *device) {
	d.w.barrier()
	x.look(d, d.w)
}

// look takes what a session has been told into its device's view.
func (x *chaos) look(d *device, w *wire) {
	x.t.Helper()
	note := func(c conv, seq int64, cid string) {
		if before, ok := d.view[c][seq]; ok && before != cid {
			x.t.Errorf("user %d: seq %d of %v is %s and %s", d.user, seq, c, before, cid)
		}
		d.view[c][seq] = cid
	}
	for c, ms := range w.bodies {
		for seq, m := range ms {
			// What is receipted on one node, the other may not have heard of yet.
			if seq <= w.floor[c] && len(x.nodes) == 1 {
				x.t.Errorf("user %d: seq %d of %v came again, receipted up to %d", d.user, seq, c, w.floor[c])
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
			x.t.Errorf("user %d: %v", d.user, f)
		}
	}
	w.stash = nil
}

// last is the end of the gapless part of a view.
func (d *device) last(c conv) int64 {
	seq := int64(0)
	for d.view[c][seq+1] != "" {
		seq++
	}
	return seq
}

// finish brings every device up to date, and compares all that they have with
// the log.
func (x *chaos) finish() {
	type key struct {
		c   conv // as its first user names it
		cid string
	}
	for _, d := range x.devices {
		if d.w == nil {
			x.login(d)
		}
		x.settle(d)
	}
	seqs := make(map[*device]map[key]int64) // of each cid in the log
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
					x.t.Errorf("%s stands at %d and %d of %v", k.cid, seqs[d][k], seq, c)
				}
				seqs[d][k] = seq
				if d.view[c][seq] != k.cid {
					x.t.Errorf("user %d has %s at %d of %v, the log %s", d.user, d.view[c][seq], seq, c, k.cid)
				}
			}
			if len(d.view[c]) != len(log) {
				x.t.Errorf("user %d has %d messages of %v, the log %d", d.user, len(d.view[c]), c, len(log))
			}
		}
	}
	// What was sent once keeps the order in which its session sent it.
	type line struct {
		w *wire
		c conv
	}
	last := make(map[line]int64)
	for _, s := range x.sent {
		seq := seqs[s.by][key{s.c, s.r["cid"].(string)}]
		if l := (line{s.session, s.c}); seq != 0 && !s.again {
			if seq < last[l] {
				x.t.Errorf("%v stands at %d, one sent before it at %d", s.r, seq, last[l])
			}
			last[l] = seq
		}
	}
}
