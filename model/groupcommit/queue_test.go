package groupcommit

import (
	"math/rand/v2"
	"testing"
)

// from returns n messages of a sender, numbered by Seq.
func from(sender int64, n int) []*Append {
	all := make([]*Append, n)
	for i := range all {
		all[i] = &Append{Sender: sender, Peer: 1000, Seq: int64(i), CID: []byte("c"), Body: []byte("body")}
	}
	return all
}

// If many messages wait, a batch has at most maxPerSender messages of one sender,
// so that it has room for other senders.
func TestTakeIsFair(t *testing.T) {
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
				t.Errorf("batch %d has %d messages of sender %d, want %d", i, got[s], s, want[s])
			}
		}
	}
	if n, bytes := q.waiting(); n != 0 || bytes != 0 {
		t.Errorf("empty queue: %d messages with %d bytes are counted, want 0", n, bytes)
	}
}

// Long messages count for more: a batch has at most 64 times 2 KiB of one sender, and
// a message that exceeds that.
func TestTakeIsFairByBytes(t *testing.T) {
	q := newQueue(1, 10_000, 64<<20)
	long := from(1, 100)
	for _, a := range long {
		a.Body = make([]byte, 4000)
	}
	for _, put := range [][]*Append{long, from(2, 3)} {
		if err := q.put(put); err != nil {
			t.Fatal(err)
		}
	}
	batch, _ := q.take(0, nil, 1024, 1<<20)
	bytes, others := 0, 0
	for _, a := range batch {
		if a.Sender == 1 {
			bytes += len(a.Body)
		} else {
			others++
		}
	}
	if most := 64*2<<10 + 4000; bytes == 0 || bytes > most || others != 3 {
		t.Errorf("the batch has %d bytes of the sender of long messages and %d messages of another, want at most %d bytes and 3 messages", bytes, others, most)
	}
}

// With random sizes of put and take, each message comes out once, a sender's
// messages stay in order, and the counts are right.
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
				t.Fatalf("take returned no messages, want some of the %d that wait", had)
			}
			for _, a := range batch {
				if a.Seq != taken[a.Sender] {
					t.Fatalf("sender %d: took message %d, want %d", a.Sender, a.Seq, taken[a.Sender])
				}
				taken[a.Sender]++
			}
			out += len(batch)
			if n, bytes := q.waiting(); n != in-out || q.length(0) != n || bytes != n*(5+overhead) {
				t.Fatalf("%d messages with %d bytes wait, %d in the shard; want %d messages", n, bytes, q.length(0), in-out)
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

// With very many messages of a single sender, one take looks at a limited number
// of them, and all are taken in the end.
func TestTakeIsBounded(t *testing.T) {
	q := newQueue(1, 100_000, 64<<20)
	if err := q.put(append(from(1, 3*maxSkipped), from(2, 1)...)); err != nil {
		t.Fatal(err)
	}
	for rounds := 0; q.length(0) > 0; rounds++ {
		batch, _ := q.take(0, nil, 1024, 1<<20)
		if len(batch) > maxPerSender+1 || len(batch) == 0 || rounds > 3*maxSkipped/maxPerSender {
			t.Fatalf("take %d returned %d messages, want 1 to %d, and all within %d takes", rounds, len(batch), maxPerSender+1, 3*maxSkipped/maxPerSender)
		}
	}
}
