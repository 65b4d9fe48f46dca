package model

import (
	"context"
	"fmt"
	"math"
	"testing"
)

// BenchmarkPages reads the last message of conversations. It alternates between two
// lists: SQLite must not prepare the statement again because other values are bound.
func BenchmarkPages(b *testing.B) {
	stored := make(chan *Append)
	sink := func(_ context.Context, batch []*Append) {
		for _, a := range batch {
			stored <- a
		}
	}
	db, err := Open(b.Context(), Options{DB: "sqlite:" + b.TempDir() + "/chat.db", SQLiteSync: "normal", Sink: sink})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := db.Close(); err != nil {
			b.Error(err)
		}
	})
	var lists [2][]PageRequest
	user := func(name string) int64 {
		id, err := db.CreateUser(b.Context(), name, name, "no hash")
		if err != nil {
			b.Fatal(err)
		}
		return id
	}
	anna := user("anna")
	for i := range 128 {
		if err := db.Append(&Append{Sender: anna, Peer: user(fmt.Sprint("peer ", i)), CID: []byte("c"), Body: []byte("hello")}); err != nil {
			b.Fatal(err)
		}
		a := <-stored
		lists[i%2] = append(lists[i%2], PageRequest{Conv: a.Conv, After: a.Seq - 1, Limit: 1 + i%2})
	}
	for i := 0; b.Loop(); i++ {
		if l, err := db.Pages(b.Context(), lists[i%2], math.MaxInt); err != nil || len(l) != 64 {
			b.Fatalf("%d messages, error %v, want 64", len(l), err)
		}
	}
}
