package model

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"chatd/model/sqldb"
)

// frequentQueries returns the queries that run often.
func frequentQueries(db *harness) []string {
	u := db.users(2)
	db.store(toPeer(u[0], u[1], "x"))
	// Use each prepared query once, so that Queries lists it.
	_, _ = db.Friends(ctx, 1)
	_, _ = db.Friendships(ctx, []int64{1})
	_, _, _ = db.TokenMemberships(ctx, []byte("no token"), 1)
	_, _, _ = db.TokenMemberships(ctx, []byte("no token"), 0)
	_, _, _ = db.AreFriends(ctx, 1, 2)
	_, _ = db.Blocked(ctx, 1, 2)
	_, _ = db.Groups(ctx, 1)
	_, _ = db.Members(ctx, 1, 0, 1)
	_, _, _ = db.MemberIDs(ctx, 1)
	_, _ = db.Page(ctx, 1, 0, 1, 1)
	_, _ = db.Pages(ctx, make([]PageRequest, 3), 1)
	_, _ = db.PageBefore(ctx, 1, 0, 0, 1, 1)
	_, _ = db.VisibleRange(ctx, 1, 1, 0)
	_, _ = db.VisibleRange(ctx, 1, 0, 2)
	_, _ = db.ReadUpTo(ctx, 1, 1)
	_, _ = db.Memberships(ctx, 1, "x")
	_, _, _ = db.Conversations(ctx, 1, 0, 1)
	_, _ = db.BlockersAmong(ctx, 1, []int64{2, 3})
	for _, device := range []string{"a", "b", "c"} { // b gets cursors, c evicts a device
		_, _ = db.logIn(u[0], device, []byte(device), 2)
	}
	_, _ = db.CountConversations(ctx, 1)
	_, _ = db.DeliveredSeqs(ctx, []DeviceCursor{{1, 1, "x"}, {1, 2, "y"}})
	_, _ = db.GroupVersions(ctx, 1, []int64{1, 2, 3})
	if f, err := db.StartFeed(ctx); err == nil {
		db.store(toPeer(u[1], u[0], "y"))
		_, _, _ = f.Next(ctx)
	}
	_, _ = db.LogHeads(ctx, []int64{1, 2, 3})
	_, _ = db.TokenDevice(ctx, []byte("x"))
	_, _ = db.UserByNameKey(ctx, "x")
	_, _ = db.TraceGroup(ctx, 1)
	_, _ = db.TracePair(ctx, 1, 2)
	_, _ = db.TraceSeq(ctx, 1, 1)
	_, _ = db.TraceCID(ctx, 1, 1, []byte("x"))
	_, _ = db.TraceMembers(ctx, 1, 0, 1)
	_, _ = db.TraceUser(ctx, 1, 9)
	queries := db.sql.Queries()
	for _, n := range []int{1, 8, 128} {
		queries = append(queries,
			`SELECT id, user_lo, user_hi FROM conversations WHERE `+sqldb.AnyOf("user_lo = ? AND user_hi = ?", n),
			lockedPairs(db.DB, n), contactsSQL(db.d, n), sizesSQL(n),
			db.d.repeats(n),
			`SELECT conversation_id, user_id FROM members WHERE `+sqldb.AnyOf("conversation_id = ? AND user_id = ?", n),
			db.d.raiseHeads(n), db.d.raiseDelivered(n), db.d.raiseRead(n), db.d.raiseUsed(n), db.d.raiseLastSession(n), db.d.raiseSession(n),
			tokenStarts(n), lockUsers(db.d, n), lockDevices(db.d, n),
			`SELECT id, last_seq FROM conversations`+db.d.ByPrimaryKey+` WHERE id IN (`+sqldb.Repeated("?", n)+`) ORDER BY id`+db.d.ForUpdate+db.d.SkipLocked)
	}
	return queries
}

// No query that runs often may scan a table: with a million messages it would
// block the server.
func TestPlans(t *testing.T) {
	db := newHarness(t, Options{DB: dialects[0].url(t)})
	for _, q := range frequentQueries(db) {
		rows, err := db.sql.Reader.QueryxContext(context.Background(), "EXPLAIN QUERY PLAN "+q, make([]any, strings.Count(q, "?"))...)
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
				!strings.Contains(detail, "VALUES CLAUSE") && !strings.Contains(detail, "json_each VIRTUAL TABLE") && detail != "SCAN v" && detail != "SCAN l" // l: feed_lanes, which has few rows
			if scan || strings.Contains(detail, "AUTOMATIC") {
				t.Errorf("plan step %q, want no scan and no automatic index\nin %.300s", detail, q)
			}
			t.Logf("%s in %.60s", detail, strings.Join(strings.Fields(q), " "))
		}
		rows.Close()
	}
}

// The same for MySQL. Its optimizer depends on the contents of the tables, so they
// are filled first.
func TestPlansMySQL(t *testing.T) {
	db := newHarness(t, Options{DB: dialects[1].url(t)})
	queries := frequentQueries(db)
	for _, q := range []string{
		`INSERT INTO users (name, name_key, password_hash, created_at) SELECT seq, CONCAT('k', seq), '', 0 FROM seq_1_to_5000`,
		`INSERT INTO conversations (kind, user_lo, user_hi, last_seq, tick) SELECT 1, seq + 10, seq + 11, 1, seq FROM seq_1_to_20000`,
		`INSERT INTO members (conversation_id, user_id) SELECT c.id, c.user_lo + 1000 FROM conversations c WHERE c.user_lo > 10`,
		`INSERT INTO members (conversation_id, user_id) SELECT c.id, c.user_hi + 9000 FROM conversations c WHERE c.user_lo > 10`,
		`INSERT INTO messages (conversation_id, seq, sender_id, cid, body, created_at) SELECT seq DIV 10 + 10, seq % 10, 1, seq, 'x', 0 FROM seq_1_to_20000`,
		`INSERT INTO devices (user_id, device, token_hash, last_used) SELECT seq, 'phone', seq, 0 FROM seq_1_to_5000`,
		`INSERT INTO friends (user_id, friend_id) SELECT seq DIV 10 + 10, seq FROM seq_1_to_5000`,
		`INSERT INTO cursors (user_id, device, conversation_id, delivered_seq) SELECT seq DIV 10, 'phone', seq, 1 FROM seq_1_to_20000`,
		`INSERT INTO feed_lanes (lane, opened) SELECT seq + 1, 1 FROM seq_1_to_50`,
		`INSERT INTO feed (lane, pos, tick, time, spans) SELECT 2 + seq % 50, seq, 1, 1, '' FROM seq_1_to_20000`,
	} {
		if _, err := db.sql.Maintenance.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := db.sql.Maintenance.Exec(`ANALYZE TABLE users, conversations, members, messages, devices, friends, cursors, feed, feed_lanes`); err != nil {
		t.Fatal(err)
	}
	for _, q := range queries {
		n := 0
		literal := strings.NewReplacer("token_hash = ?", "token_hash = 'x'", "name_key = ?", "name_key = 'x'").Replace(q)
		for strings.Contains(literal, "?") {
			n++ // distinct values, as the optimizer merges equal ones
			value := fmt.Sprint(19900 + n)
			if strings.Contains(q, "token_hash IN") {
				value = "'" + value + "'"
			}
			literal = strings.Replace(literal, "?", value, 1)
		}
		rows, err := db.sql.Writer.Queryx("EXPLAIN " + literal)
		if err != nil {
			t.Fatalf("%v\nin %.300s", err, literal)
		}
		for rows.Next() {
			plan := make(map[string]any)
			if err := rows.MapScan(plan); err != nil {
				t.Fatal(err)
			}
			table, kind := fmt.Sprintf("%s", plan["table"]), fmt.Sprintf("%s", plan["type"])
			small := table == "v" || table == "l" || strings.HasPrefix(table, "<") // l: feed_lanes, which has few rows
			if !small && plan["rows"] != nil && (kind == "ALL" || kind == "index") {
				t.Errorf("table %s: access type %s, %s rows; want no full scan\nin %.300s", table, kind, plan["rows"], q)
			}
		}
		rows.Close()
	}
}

// A page is read by the primary key, without sorting. So its cost doesn't depend
// on the length of the conversation, even if there are few users.
func TestPagePlans(t *testing.T) {
	db := newHarness(t, Options{DB: dialects[1].url(t)})
	u := db.users(2)
	g := db.group(u...)
	for _, q := range []string{
		fmt.Sprintf(`INSERT INTO messages (conversation_id, seq, sender_id, cid, body, created_at) SELECT %d, seq, IF(seq %% 2, %d, %d), seq, 'x', 0 FROM seq_1_to_20000`, g, u[0], u[1]),
		`ANALYZE TABLE users, messages`,
	} {
		if _, err := db.sql.Maintenance.Exec(q); err != nil {
			t.Fatal(err)
		}
	}
	_, err := db.Page(ctx, g, 1, 1, 1)
	want(t, err, nil)
	_, err = db.PageBefore(ctx, g, 0, 0, 1, 1)
	want(t, err, nil)
	_, err = db.Pages(ctx, []PageRequest{{g, 1, 1}, {g, 5, 1}}, 1)
	want(t, err, nil)
	checked := 0
	for _, literal := range db.sql.Queries() {
		if !strings.Contains(literal, "m.body") {
			continue
		}
		checked++
		for _, v := range []int64{g, 9000, 200, g, 9000, 200} {
			literal = strings.Replace(literal, "?", fmt.Sprint(v), 1)
		}
		rows, err := db.sql.Writer.Queryx("EXPLAIN " + literal)
		if err != nil {
			t.Fatalf("%v\nin %.300s", err, literal)
		}
		for rows.Next() {
			plan := make(map[string]any)
			if err := rows.MapScan(plan); err != nil {
				t.Fatal(err)
			}
			table, key, extra := fmt.Sprintf("%s", plan["table"]), fmt.Sprintf("%s", plan["key"]), fmt.Sprintf("%s", plan["Extra"])
			if (table == "m" || table == "u") && (key != "PRIMARY" || strings.Contains(extra, "sort") || strings.Contains(extra, "temporary")) {
				t.Errorf("table %s: key %s, extra %q; want the primary key and no sort\nin %.300s", table, key, extra, literal)
			}
		}
		rows.Close()
	}
	if checked != 3 {
		t.Errorf("%d queries were checked, want 3", checked)
	}
}
