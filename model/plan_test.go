package model

import (
	"context"
	"strings"
	"testing"
)

// No query that runs often may scan a table: with a million messages it would
// stop the server.
func TestPlans(t *testing.T) {
	db := newHarness(t, Options{URL: dialects[0].url(t)})
	u := db.users(2)
	db.store(toPeer(u[0], u[1], "x"))
	// What the constant queries are is known once each was used.
	_, _ = db.Friends(ctx, 1)
	_, _ = db.Audience(ctx, 1)
	_, _, _ = db.AreFriends(ctx, 1, 2)
	_, _ = db.Blocked(ctx, 1, 2)
	_, _ = db.Groups(ctx, 1)
	_, _ = db.Members(ctx, 1, 0, 1)
	_, _, _ = db.MemberIDs(ctx, 1)
	_, _ = db.Page(ctx, 1, 0, 1, 1)
	_, _ = db.PageBefore(ctx, 1, 0, 0, 1, 1)
	_, _ = db.View(ctx, 1, 1, 0)
	_, _ = db.View(ctx, 1, 0, 2)
	_, _ = db.Places(ctx, 1, "x")
	_, _, _ = db.Conversations(ctx, 1, 0, 1)
	_, _ = db.Blockers(ctx, 1)
	_, _ = db.Delivered(ctx, 1, []Holder{{1, "x"}, {2, "y"}})
	_, _, _ = db.Touched(ctx, 0)
	_, _ = db.Heads(ctx, []int64{1, 2, 3})
	_, _, _ = db.TokenDevice(ctx, []byte("x"))
	_, _ = db.UserByNameKey(ctx, "x")
	_, _, _ = db.Revocations(ctx, 0)
	var queries []string
	db.queries.Range(func(q, _ any) bool { queries = append(queries, q.(string)); return true })
	for _, n := range []int{1, 8, 128} {
		queries = append(queries,
			`SELECT id, user_lo, user_hi FROM conversations WHERE `+either("user_lo = ? AND user_hi = ?", n),
			`SELECT conversation_id, sender_id, cid, seq, created_at FROM messages WHERE `+either("conversation_id = ? AND sender_id = ? AND cid = ?", n),
			`SELECT conversation_id, user_id FROM members WHERE `+either("conversation_id = ? AND user_id = ?", n),
			db.d.raiseHeads(n), db.d.raiseDelivered(n), db.d.raiseRead(n), db.d.raiseUsed(n))
	}
	for _, q := range queries {
		rows, err := db.s.reading.QueryxContext(context.Background(), "EXPLAIN QUERY PLAN "+q, make([]any, strings.Count(q, "?"))...)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var id, parent, x int
			var detail string
			if err := rows.Scan(&id, &parent, &x, &detail); err != nil {
				t.Fatal(err)
			}
			scan := strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "CONSTANT ROW") &&
				!strings.Contains(detail, "VALUES CLAUSE") && detail != "SCAN v"
			if scan || strings.Contains(detail, "AUTOMATIC") {
				t.Errorf("%s\nin %.300s", detail, q)
			}
			t.Logf("%s in %.60s", detail, strings.Join(strings.Fields(q), " "))
		}
		rows.Close()
	}
}
