package groupcommit

import (
	"math/rand/v2"
	"testing"
)

// from makes n messages of a sender, numbered in the order in which they are put.
func from(sender int64, n int) []*Append {
	all := make([]*Append, n)
	for i := range all {
		all[i] = &Append{Sender: sender, Peer: 1000, Seq: int64(i), CID: []byte("c"), Body: []byte("body")}
	}
	return all
}

// One who has sent a whole window gets no more than a share of a transaction,
// so that who comes after it is in the next one; alone in it or not, nothing
// waits longer than until the next.
func TestTakeIsShared(t *testing.T) {
	q := newQueue(1, 10_000, 1<<20)
	for _, put := range [][]*Append{from(1, 256), from(2, 3), from(3, 100)} {
		if err := q.put(put); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []map[int64]int{{1: 64, 2: 3, 3: 64}, {1: 64, 3: 36}, {1: 64}, {1: 64}, {}} {
		batch, _ := q.take(0, nil, 1024, 1<<20)
		got := make(map[int64]int)
		for _, a := range batch {
			got[a.Sender]++
		}
		for s := int64(1); s <= 3; s++ {
			if got[s] != want[s] {
				t.Errorf("batch %d has %d of sender %d, want %d", i, got[s], s, want[s])
			}
		}
	}
	if n, bytes := q.waiting(); n != 0 || bytes != 0 {
		t.Errorf("%d messages, %d bytes wait in an empty queue", n, bytes)
	}
}

// Whatever is put and taken, in whatever portions: every message comes out
// once, each sender's in order, and what waits is counted right.
func TestTakeKeepsOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		q := newQueue(1, 100_000, 64<<20)
		next, taken := make(map[int64]int64), make(map[int64]int64)
		in, out := 0, 0
		take := func() {
			had, _ := q.waiting()
			batch, _ := q.take(0, nil, 1+rng.IntN(1500), 1+rng.IntN(200_000))
			if len(batch) == 0 && had > 0 {
				t.Fatalf("%d wait, and none is taken", had)
			}
			for _, a := range batch {
				if a.Seq != taken[a.Sender] {
					t.Fatalf("sender %d: message %d after %d", a.Sender, a.Seq, taken[a.Sender])
				}
				taken[a.Sender]++
			}
			out += len(batch)
			if n, bytes := q.waiting(); n != in-out || q.length(0) != n || bytes != n*(5+overhead) {
				t.Fatalf("%d messages, %d bytes wait, %d in the lane; want %d", n, bytes, q.length(0), in-out)
			}
		}
		for range 1 + rng.IntN(40) {
			sender := int64(1 + rng.IntN(1+rng.IntN(8)))
			batch := from(sender, 1+rng.IntN(1+rng.IntN(700)))
			for _, a := range batch {
				a.Seq = next[sender]
				next[sender]++
			}
			if err := q.put(batch); err != nil {
				t.Fatal(err)
			}
			in += len(batch)
			if rng.IntN(3) == 0 {
				take()
			}
		}
		for out < in {
			take()
		}
	}
}

// A single sender far ahead costs each batch a bounded look, and still comes
// to its end.
func TestTakeSkipsSoMany(t *testing.T) {
	q := newQueue(1, 100_000, 64<<20)
	if err := q.put(append(from(1, 3*maxSkipped), from(2, 1)...)); err != nil {
		t.Fatal(err)
	}
	for rounds := 0; q.length(0) > 0; rounds++ {
		batch, _ := q.take(0, nil, 1024, 1<<20)
		if len(batch) > maxPerSender+1 || len(batch) == 0 || rounds > 3*maxSkipped/maxPerSender {
			t.Fatalf("round %d takes %d", rounds, len(batch))
		}
	}
}
