package bus

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"chatd/internal/realservice"
)

// BenchmarkRedis measures publishing messages of 150 bytes from one node to
// another, in batches as group commits form them, until they are received.
func BenchmarkRedis(b *testing.B) {
	server := realservice.Redis(b)
	for _, c := range []struct{ batch, channels int }{{1, 1}, {64, 64}, {1024, 50}, {1024, 1024}} {
		b.Run(fmt.Sprintf("batch=%d/channels=%d", c.batch, c.channels), func(b *testing.B) {
			ctx := b.Context()
			got := make(chan struct{})
			var left atomic.Int64
			receiver, err := DialRedis(ctx, RedisConfig{Redis: server.URL}, func(ms []Message) {
				if left.Add(-int64(len(ms))) <= 0 {
					got <- struct{}{}
				}
			}, func(bool) {})
			if err != nil {
				b.Fatal(err)
			}
			sender, err := DialRedis(ctx, RedisConfig{Redis: server.URL}, func([]Message) {}, func(bool) {})
			if err != nil {
				b.Fatal(err)
			}
			defer func() {
				if err := receiver.Close(ctx); err != nil {
					b.Error(err)
				}
				if err := sender.Close(ctx); err != nil {
					b.Error(err)
				}
			}()
			ms := make([]Message, c.batch)
			body := bytes.Repeat([]byte("x"), 150)
			for i := range ms {
				ch := User(int64(i % c.channels))
				ms[i] = Message{ch, Payload{NewMessages: &NewMessages{Conv: int64(i), Lo: 1, Hi: 2, First: 1, Bodies: [][]byte{body}}}}
				receiver.Subscribe(ch)
			}
			if err := receiver.Await(ctx); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				left.Store(int64(c.batch)) // safe: the receiver is idle between batches
				if err := sender.Publish(ctx, ms); err != nil {
					b.Fatal(err)
				}
				<-got
			}
			b.ReportMetric(float64(b.N)*float64(c.batch)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}
