package reactor

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"chatd/proto"
)

// BenchmarkRelay sends messages of 154 bytes from clients of one loop to
// clients of the same or the other loop, window of them under way per pair.
// An op is one message through the reactor.
func BenchmarkRelay(b *testing.B) {
	for _, cross := range []bool{false, true} {
		for _, window := range []int{1, 64} {
			name := map[bool]string{false: "same loop", true: "cross loop"}[cross]
			b.Run(fmt.Sprintf("%s/window %d", name, window), func(b *testing.B) { benchRelay(b, cross, window, 8) })
		}
	}
}

func benchRelay(b *testing.B, cross bool, window, pairs int) {
	type end struct {
		*client
		peer *Peer
	}
	conns := make(chan *Conn, 4*pairs)
	body := sayBody(fmt.Sprintf("%0120d", 0))
	r := serve(b, &funcs{
		open: func(t Turn, c *Conn) { conns <- c },
		request: func(t Turn, c *Conn, r *proto.Request) bool {
			t.Send(c.Data(t).(*Peer), body)
			return true
		},
	}, func(cfg *Config) { cfg.LoginTimeout = time.Hour })
	ends := map[int][]end{}
	for range 2 * pairs {
		c := dial(b, r)
		if err := c.SetDeadline(noTime); err != nil {
			b.Fatal(err)
		}
		p := (<-conns).Peer()
		ends[p.Loop()] = append(ends[p.Loop()], end{c, p})
	}
	var from, to []end
	if cross {
		from, to = ends[0], ends[1]
	} else {
		all := append(ends[0][:pairs/2*2:pairs/2*2], ends[1]...)
		for i := 0; i+1 < len(all); i += 2 {
			from, to = append(from, all[i]), append(to, all[i+1])
		}
	}
	for i := range pairs {
		onLoop(b, r, from[i].peer.Loop(), func(t Turn) { from[i].peer.c.SetData(t, to[i].peer) })
	}
	f := frame(chat(fmt.Sprintf("%0100d", 0)))
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for i := range pairs {
		wg.Go(func() { benchPair(b, from[i].Conn, to[i].Conn, f, len(body)+proto.HeaderSize, window, b.N/pairs+1) })
	}
	wg.Wait()
}

// benchPair keeps window messages under way until n have arrived.
func benchPair(b *testing.B, from, to net.Conn, f []byte, size, window, n int) {
	batch := max(1, window/2)
	burst := make([]byte, 0, batch*len(f))
	for range batch {
		burst = append(burst, f...)
	}
	in := bufio.NewReaderSize(to, 64<<10)
	send := func(k int) {
		if _, err := from.Write(burst[:k*len(f)]); err != nil {
			b.Error(err)
		}
	}
	sent := 0
	for range window / batch {
		k := min(batch, n-sent)
		send(k)
		sent += k
	}
	for got := 0; got < n; {
		k := min(batch, n-got)
		if _, err := io.CopyN(io.Discard, in, int64(k*size)); err != nil {
			b.Error(err)
			return
		}
		got += k
		if k := min(batch, n-sent); k > 0 {
			send(k)
			sent += k
		}
	}
}
