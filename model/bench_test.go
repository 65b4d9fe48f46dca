package model

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"chatd/internal/realservice"
)

// BenchmarkAppend stores messages of 150 bytes in 50 conversations. At any time,
// 3,200 of them are outstanding, as with 50 connections that have a window of 64.
func BenchmarkAppend(b *testing.B) {
	// Ordered cids begin with the time, like UUIDs of version 7. Random ones each
	// dirty a different page of the index.
	cids := map[string]func(i int) []byte{
		"ordered": func(i int) []byte { return fmt.Appendf(nil, "%012x%08x", i/100, uint32(i)*0x9e3779b9) },
		"random":  func(i int) []byte { return fmt.Appendf(nil, "%016x%04x", uint64(i)*0x9e3779b97f4a7c15, i&0xffff) },
	}
	for _, store := range []string{"sqlite/sync=full", "sqlite/sync=normal", "mysql/nodes=1", "mysql/nodes=2", "mysql/nodes=3"} {
		for _, kind := range []string{"ordered", "random"} {
			b.Run(store+"/cid="+kind, func(b *testing.B) {
				o, nodes := Options{}, 1
				if name, sync, ok := strings.Cut(store, "/sync="); ok {
					o.DB, o.SQLiteSync = name+":"+filepath.Join(b.TempDir(), "bench.db"), sync
				} else {
					nodes = int(store[len(store)-1] - '0')
					if testing.Short() && nodes > 1 {
						b.Skip("starting a database for each case takes too long")
					}
					o.DB = realservice.NewMariaDB(b, "--innodb-buffer-pool-size=1G", "--innodb-log-file-size=512M").URL
				}
				benchmarkAppend(b, o, nodes, cids[kind], 50, 64)
			})
		}
	}
}

// benchmarkAppend appends to all conversations from all nodes.
func benchmarkAppend(b *testing.B, o Options, nodes int, cid func(i int) []byte, convs, window int) {
	var left atomic.Int64
	next := make(chan *Append, convs*window)
	done := make(chan struct{}, 1)
	o.Sink = func(_ context.Context, batch []*Append) {
		for _, a := range batch {
			if a.Err != nil {
				b.Error(a.Err)
			}
			next <- a
		}
		if left.Add(-int64(len(batch))) <= 0 {
			select {
			case done <- struct{}{}:
			default:
			}
		}
	}
	dbs, users := openNodes(b, o, nodes, convs+1)
	body := make([]byte, 150)
	for i := range convs * window {
		a := &Append{Sender: users[i%convs], Peer: users[i%convs+1], Body: body}
		if nodes > 1 && i/convs%2 == 0 { // both users of a pair write, on two nodes
			a.Sender, a.Peer = a.Peer, a.Sender
		}
		next <- a
	}
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	used := cpu(b)
	all := make([]*Append, 0, window)
	for i := 0; i < b.N; {
		// At most as many messages at a time as one read of a socket returns.
		batch := append(all[:0], <-next)
	more:
		for len(batch) < window && i+len(batch) < b.N {
			select {
			case a := <-next:
				batch = append(batch, a)
			default:
				break more
			}
		}
		for _, a := range batch {
			a.CID = cid(i)
			i++
		}
		// All messages of a sender go to the same node.
		if nodes > 1 {
			slices.SortStableFunc(batch, func(x, y *Append) int { return int(x.Sender%int64(nodes) - y.Sender%int64(nodes)) })
		}
		for len(batch) > 0 {
			n := 1
			for n < len(batch) && (nodes == 1 || batch[n].Sender%int64(nodes) == batch[0].Sender%int64(nodes)) {
				n++
			}
			if err := dbs[batch[0].Sender%int64(nodes)].Append(batch[:n]...); err != nil {
				b.Fatal(err)
			}
			batch = batch[n:]
		}
	}
	<-done
	b.StopTimer()
	b.ReportMetric(float64(cpu(b)-used)/float64(b.N), "cpu-ns/op") // varies less than elapsed time on a shared machine
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
	for _, db := range dbs {
		if err := db.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

// openNodes opens several stores on one database, and creates users.
func openNodes(b *testing.B, o Options, nodes, users int) ([]*DB, []int64) {
	dbs := make([]*DB, nodes)
	for i := range dbs {
		var err error
		if dbs[i], err = Open(context.Background(), o); err != nil {
			b.Fatal(err)
		}
	}
	ids := make([]int64, users)
	for i := range ids {
		var err error
		if ids[i], err = dbs[0].CreateUser(context.Background(), fmt.Sprint("u", i), fmt.Sprint("u", i), ""); err != nil {
			b.Fatal(err)
		}
	}
	return dbs, ids
}

// cpu returns the CPU time that this process has used, in ns.
func cpu(b *testing.B) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkPage reads 50 messages from the middle of a conversation of 10,000.
func BenchmarkPage(b *testing.B) {
	h := newHarness(b, Options{DB: "sqlite:" + filepath.Join(b.TempDir(), "bench.db")})
	u := h.users(2)
	batch := make([]*Append, 10_000)
	for i := range batch {
		batch[i] = toPeer(u[i%2], u[1-i%2], fmt.Sprintf("cid %d", i))
	}
	h.store(batch...)
	conv := batch[0].Conv
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l, err := h.Page(context.Background(), conv, int64(i*37%9000), 50, 256<<10)
		if err != nil || len(l) != 50 {
			b.Fatalf("Page returned %d messages (error %v), want 50", len(l), err)
		}
	}
}

// BenchmarkTokenMemberships runs the query of a login by token, for a user whose
// device has received every message. Its time must not depend on the number of
// stored messages.
func BenchmarkTokenMemberships(b *testing.B) {
	for _, history := range []int{0, 1_000_000} {
		b.Run(fmt.Sprintf("history=%d", history), func(b *testing.B) {
			if history > 0 && testing.Short() {
				b.Skip("storing a million messages takes too long")
			}
			h := newHarness(b, Options{DB: "sqlite:" + filepath.Join(b.TempDir(), "bench.db")})
			u := h.users(2)
			token := []byte("a token")
			user, err := h.UserByID(context.Background(), u[1])
			if err != nil {
				b.Fatal(err)
			}
			if _, _, _, err := h.OpenDevice(context.Background(), user, "phone", token, 8, connected); err != nil {
				b.Fatal(err)
			}
			const atATime = 10_000
			for i := 0; i < history; i += atATime {
				batch := make([]*Append, atATime)
				for j := range batch {
					batch[j] = toPeer(u[0], u[1], fmt.Sprintf("cid %08d", i+j))
				}
				h.store(batch...)
				h.SetDelivered(u[1], "phone", batch[0].Conv, batch[len(batch)-1].Last)
			}
			if err := h.Flush(context.Background(), u[1]); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, l, err := h.TokenMemberships(context.Background(), token, u[1]); err != nil || len(l) > 0 {
					b.Fatalf("TokenMemberships returned %v (error %v), want none", l, err)
				}
			}
		})
	}
}
