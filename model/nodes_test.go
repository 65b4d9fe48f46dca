package model

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatd/internal/realservice"
	"chatd/model/groupcommit"
)

// nodes opens several stores on one MySQL database, as several nodes do.
func nodes(t *testing.T, n int) []*harness {
	url := realservice.MariaDB(t)
	all := make([]*harness, n)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = &harness{t: t, o: Options{DB: url}}
		wg.Go(func() {
			all[i] = newHarness(t, Options{DB: url}) // at the same time: only one of them may migrate
		})
	}
	wg.Wait()
	return all
}

// gapless returns a conversation's log. It checks that the seqs have no gap, and
// that no sender's cid occurs twice.
func gapless(t *testing.T, h *harness, conv int64) []Message {
	t.Helper()
	log := h.log(conv)
	seen := make(map[string]bool)
	for i, m := range log {
		k := fmt.Sprint(m.Sender, " ", string(m.CID))
		if m.Seq != int64(i+1) || seen[k] {
			t.Fatalf("conversation %d: message %d has seq %d, cid %q (seen before: %t); want seq %d and a new cid", conv, i, m.Seq, m.CID, seen[k], i+1)
		}
		seen[k] = true
	}
	heads, err := h.LogHeads(ctx, []int64{conv})
	want(t, err, nil)
	if len(heads) != 1 || heads[0].Last != int64(len(log)) {
		t.Fatalf("conversation %d: head %+v, want last seq %d, the number of messages", conv, heads, len(log))
	}
	return log
}

// Law 2 with two nodes, which append to the same conversations, some of which must
// be created. No seq is skipped or used twice, no message is lost, and each node's
// messages stay in order.
func TestNodesGapless(t *testing.T) {
	const messages, convs, window = 10_000, 40, 50
	all := nodes(t, 2)
	u := all[0].users(convs + 1)
	var groups []int64
	for range convs / 2 {
		groups = append(groups, all[0].group(u...))
	}
	sent := make([][]*Append, len(all))
	var wg sync.WaitGroup
	for n, h := range all {
		for i := range messages {
			to := i * 7 % convs
			a := toPeer(u[to], u[to+1], fmt.Sprint(n, " ", i))
			if to < len(groups) {
				a = toGroup(u[i%len(u)], groups[to], fmt.Sprint(n, " ", i))
			}
			sent[n] = append(sent[n], a)
		}
		wg.Go(func() {
			for i := 0; i < messages; i += window {
				h.store(sent[n][i : i+window]...)
			}
		})
	}
	wg.Wait()
	found := make(map[int64]bool)
	for n := range all {
		last := make(map[int64]int64)
		for i, a := range sent[n] {
			if a.Err != nil || !a.Stored || a.Seq <= last[a.Conv] {
				t.Fatalf("node %d, message %d: %s; want it stored with a seq above %d", n, i, show(a), last[a.Conv])
			}
			last[a.Conv], found[a.Conv] = a.Seq, true
		}
	}
	stored := 0
	for conv := range found {
		stored += len(gapless(t, all[0], conv))
	}
	if len(found) != convs || stored != len(all)*messages {
		t.Errorf("%d conversations with %d messages, want %d with %d", len(found), stored, convs, len(all)*messages)
	}
	for n, h := range all {
		t.Logf("node %d: %d deferrals, %d jobs of lock waiters, %d retries", n, h.metric("chatd_model_conversations_missed_total"), h.metric("chatd_model_waiter_jobs_total"), h.metric("chatd_model_retries_total"))
	}
}

// Law 4 with two nodes: a cid that is sent to both at once is stored once, and both
// nodes return the same seq.
func TestNodesRepeats(t *testing.T) {
	const cids = 300
	all := nodes(t, 2)
	u := all[0].users(2)
	var sent [2][]*Append
	var wg sync.WaitGroup
	for n, h := range all {
		for i := range cids {
			sent[n] = append(sent[n], toPeer(u[0], u[1], fmt.Sprint(i)))
		}
		wg.Go(func() {
			for i := 0; i < cids; i += 3 {
				h.store(sent[n][i : i+3]...)
			}
		})
	}
	wg.Wait()
	for i := range cids {
		a, b := sent[0][i], sent[1][i]
		if a.Err != nil || b.Err != nil || a.Seq != b.Seq || a.Stored == b.Stored || a.Conv != b.Conv {
			t.Fatalf("one cid on two nodes:\n%s\n%s\nwant the same seq, stored by one node", show(a), show(b))
		}
	}
	if n := len(gapless(t, all[0], sent[0][0].Conv)); n != cids {
		t.Errorf("%d messages in the log, want %d", n, cids)
	}
}

// While another node has a conversation locked, messages of other conversations
// are stored. Those of the locked one fail after a while, and can be stored once it
// is unlocked.
func TestNodeHoldsLock(t *testing.T) {
	t.Parallel()
	h := nodes(t, 1)[0]
	u := h.users(3)
	held, free := h.group(u...), h.group(u...)
	tx, err := h.sql.Writer.Beginx() // as another node would
	want(t, err, nil)
	if _, err := h.lockGroup(ctx, tx, held); err != nil {
		t.Fatal(err)
	}
	// Keep the transaction busy, as the server rolls back an idle one.
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(500 * time.Millisecond):
				if _, err := tx.Exec(`DO 0`); err != nil {
					t.Error(err)
				}
			}
		}
	})
	var stuck []*Append
	for i := range 10 {
		stuck = append(stuck, toGroup(u[0], held, fmt.Sprint(i)))
	}
	want(t, h.Append(stuck...), nil)
	beside := 0
	for i := 0; h.metric("chatd_model_messages_failed_total") == 0; i++ {
		a := toGroup(u[1], free, fmt.Sprint(i))
		h.store(a)
		if a.Err != nil || a.Seq != int64(i+1) {
			t.Fatalf("in another conversation: %s; want seq %d", show(a), i+1)
		}
		beside = i
	}
	h.await(stuck...)
	for _, a := range stuck {
		if !errors.Is(a.Err, groupcommit.ErrLocked) || a.Stored || a.Seq != 0 {
			t.Errorf("in the locked conversation: %s; want ErrLocked", show(a))
		}
	}
	if beside < 10 {
		t.Errorf("%d messages of another conversation were stored meanwhile, want at least 10", beside)
	}
	close(stop)
	wg.Wait()
	want(t, tx.Rollback(), nil)
	again := toGroup(u[0], held, "0")
	again.Retry = true
	h.store(again)
	if !again.Stored || again.Seq != 1 {
		t.Errorf("once unlocked: %s; want it stored with seq 1", show(again))
	}
}

// A conversation that must be created waits for the lock waiter. While that is busy
// with locked conversations, the messages wait, but don't fail.
func TestCreationWaitsForLockWaiter(t *testing.T) {
	t.Parallel()
	h := newHarness(t, Options{DB: realservice.MariaDB(t), Writers: 1})
	u := h.users(12)
	tx, err := h.sql.Writer.Beginx() // as a slow operator's command that deletes a user would
	want(t, err, nil)
	want(t, h.lockUsers(ctx, tx, u[0]), nil)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(500 * time.Millisecond):
				if _, err := tx.Exec(`DO 0`); err != nil {
					t.Error(err)
				}
			}
		}
	})
	var stuck []*Append
	for _, peer := range u[1:10] {
		stuck = append(stuck, toPeer(u[0], peer, "stuck"))
	}
	want(t, h.Append(stuck...), nil)
	for h.metric("chatd_model_waiter_jobs_total") == 0 {
		time.Sleep(time.Millisecond)
	}
	first := toPeer(u[10], u[11], "first")
	want(t, h.Append(first), nil)
	h.await(stuck...)
	for _, a := range stuck {
		if a.Err == nil || a.Stored {
			t.Errorf("to a locked user: %s; want an error", show(a))
		}
	}
	h.await(first)
	if first.Err != nil || first.Seq != 1 {
		t.Errorf("the other pair's first message: %s; want it stored with seq 1", show(first))
	}
	close(stop)
	wg.Wait()
	want(t, tx.Rollback(), nil)
}

// Two nodes that create the same 2,080 conversations at once create each of them
// once, with both members, and no message fails.
func TestNodesCreatePairs(t *testing.T) {
	h := nodes(t, 2)
	u := h[0].users(64)
	var wg sync.WaitGroup
	sent := make([][]*Append, len(h))
	for i := range h {
		for _, j := range rand.Perm(len(u) * len(u)) {
			if a, b := j/len(u), j%len(u); a <= b {
				sent[i] = append(sent[i], toPeer(u[a], u[b], fmt.Sprint("node ", i)))
			}
		}
		wg.Go(func() {
			for part := range slices.Chunk(sent[i], 100) {
				if err := h[i].Append(part...); err != nil {
					t.Error(err)
				}
			}
			h[i].await(sent[i]...)
		})
	}
	wg.Wait()
	convs := make(map[pair]int64)
	for _, all := range sent {
		for _, a := range all {
			p := pairOf(a.Sender, a.Peer)
			if a.Err != nil || !a.Stored || convs[p] != 0 && convs[p] != a.Conv {
				t.Fatalf("pair %v: %s; want it stored in conversation %d (0: any)", p, show(a), convs[p])
			}
			convs[p] = a.Conv
		}
	}
	checkPairs(t, h[0], convs)
}

// First messages to many users, sent in one batch, create a conversation with each.
func TestCreatePairs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(700)
		var sent []*Append
		for _, peer := range u { // including the sender: notes
			sent = append(sent, toPeer(u[0], peer, "hello"))
		}
		sent = append(sent, toPeer(u[0], u[len(u)-1]+1000, "nobody"))
		h.store(sent...)
		convs := make(map[pair]int64)
		for _, a := range sent[:len(u)] {
			if a.Err != nil || a.Seq != 1 {
				t.Fatalf("%s; want it stored with seq 1", show(a))
			}
			convs[pairOf(a.Sender, a.Peer)] = a.Conv
		}
		if a := sent[len(u)]; !errors.Is(a.Err, ErrNotFound) {
			t.Errorf("to a user who doesn't exist: %s; want ErrNotFound", show(a))
		}
		checkPairs(t, h, convs)
	})
}

// checkPairs checks that exactly these conversations exist, each with its members.
func checkPairs(t *testing.T, h *harness, convs map[pair]int64) {
	t.Helper()
	if n := h.count(`SELECT COUNT(*) FROM conversations`); n != int64(len(convs)) {
		t.Errorf("%d conversations, want %d", n, len(convs))
	}
	members := int64(0)
	for p, id := range convs {
		members++
		if p.lo != p.hi {
			members++
		}
		if n := h.count(`SELECT COUNT(*) FROM members m JOIN conversations c ON c.id = m.conversation_id
			WHERE c.id = ? AND c.kind = 1 AND c.user_lo = ? AND c.user_hi = ? AND m.user_id IN (?, ?) AND m.joined_at > 0`, id, p.lo, p.hi, p.lo, p.hi); n != 1 && n != 2 || n == 1 && p.lo != p.hi {
			t.Fatalf("pair %v has %d members, want its %d users", p, n, members)
		}
	}
	if n := h.count(`SELECT COUNT(*) FROM members`); n != members {
		t.Errorf("%d members, want %d", n, members)
	}
}

func (h *harness) count(query string, args ...any) (n int64) {
	h.t.Helper()
	if err := h.sql.Reader.Get(&n, query, args...); err != nil {
		h.t.Fatal(err)
	}
	return n
}

// Messages of a conversation that is locked for a moment are stored afterwards, in
// order.
func TestNodeHoldsLockBriefly(t *testing.T) {
	h := nodes(t, 1)[0]
	u := h.users(2)
	g, other := h.group(u...), h.group(u...)
	for round := range 5 {
		tx, err := h.sql.Writer.Beginx()
		want(t, err, nil)
		_, err = h.lockGroup(ctx, tx, g)
		want(t, err, nil)
		var batch []*Append
		for i := range 20 {
			a := toGroup(u[i%2], g, fmt.Sprint(round, " ", i))
			batch = append(batch, a)
			want(t, h.Append(a), nil)
			h.store(toGroup(u[0], other, fmt.Sprint(round, " ", i)))
		}
		want(t, tx.Rollback(), nil)
		h.await(batch...)
		for i, a := range batch {
			if a.Err != nil || a.Seq != int64(round*20+i+1) {
				t.Fatalf("round %d, message %d: %s; want seq %d", round, i, show(a), round*20+i+1)
			}
		}
	}
	if h.metric("chatd_model_waiter_jobs_total") == 0 {
		t.Error("the lock waiter got no job, want at least one, or the test proves nothing")
	}
}

// A node that freezes during an append delays only messages of the conversations
// that it has locked, and only for seconds. After it resumes, every message that
// its sink got is in the log.
func TestNodeFreezes(t *testing.T) {
	t.Parallel()
	h := nodes(t, 1)[0]
	u := h.users(3)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"="+h.o.DB)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	want(t, err, nil)
	want(t, child.Start(), nil)
	sunk := readSunk(out)
	defer func() {
		_ = child.Process.Kill()
		_ = child.Wait() // killed
	}()
	free := h.group(u...)
	n := 0
	for range 10 {
		// Repeat until the frozen node holds a lock.
		<-sunk
		want(t, child.Process.Signal(syscall.SIGSTOP), nil)
		var held int
		want(t, h.sql.Reader.Get(&held, `SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_rows_locked > 0`), nil)
		if held > 0 {
			break
		}
		want(t, child.Process.Signal(syscall.SIGCONT), nil)
	}
	started := time.Now()
	one := toPeer(u[0], u[1], "in a conversation of the frozen node")
	want(t, h.Append(one), nil)
	for ; n < 200; n++ {
		a := toGroup(u[2], free, fmt.Sprint(n))
		h.store(a)
		if a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	t.Logf("%d messages of other conversations stored in %s", n, time.Since(started))
	h.await(one)
	t.Logf("message in a conversation of the frozen node answered after %s: error %v", time.Since(started), one.Err)
	for retry := one; retry.Err != nil; {
		retry = toPeer(u[0], u[1], "in a conversation of the frozen node")
		retry.Retry = true
		h.store(retry)
	}
	want(t, child.Process.Signal(syscall.SIGCONT), nil)
	acknowledged := make(map[[2]int64]string) // cid by conversation and seq
	for len(acknowledged) < 200 {
		if m := <-sunk; m.Err == "" {
			acknowledged[[2]int64{m.Conv, m.Seq}] = m.CID
		} else {
			t.Logf("message of the frozen node failed: %s", m.Err)
		}
	}
	want(t, child.Process.Kill(), nil)
	for m := range sunk { // what is left in the pipe
		if m.Err == "" {
			acknowledged[[2]int64{m.Conv, m.Seq}] = m.CID
		}
	}
	for _, conv := range h.convs() {
		for _, m := range gapless(t, h, conv) {
			k := [2]int64{m.Conv, m.Seq}
			if cid, ok := acknowledged[k]; ok && cid != string(m.CID) {
				t.Errorf("conversation %d: seq %d has cid %q, want %q, which the frozen node acknowledged", m.Conv, m.Seq, m.CID, cid)
			}
			delete(acknowledged, k)
		}
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d messages that the frozen node acknowledged are missing in the log, want 0", len(acknowledged))
	}
}

// Enter retries for as long as Options.Wait while another process keeps a lock.
func TestEnterWaitsForLock(t *testing.T) {
	retrying := make(chan struct{}, 1)
	h := newHarness(t, Options{DB: realservice.MariaDB(t), Wait: time.Hour, Logger: slog.New(onWarning{slog.DiscardHandler, retrying})})
	tx := mustBegin(t, h)
	defer tx.Rollback()
	_, err := tx.Exec(`UPDATE meta SET value = value + 1 WHERE name = 'epoch'`)
	want(t, err, nil)
	done := make(chan error, 1)
	go func() {
		e, err := h.Enter(ctx, Node{Name: "one"})
		if err == nil {
			e.Close()
		}
		done <- err
	}()
	// MariaDB ends transactions that are idle, so this one has to stay busy.
	for waiting := true; waiting; {
		var one int
		want(t, tx.Get(&one, `SELECT 1`), nil)
		select {
		case err := <-done:
			t.Fatalf("Enter ended with error %v while another process had the lock, want that it retries", err)
		case <-retrying:
			waiting = false
		case <-time.After(100 * time.Millisecond):
		}
	}
	want(t, tx.Rollback(), nil)
	want(t, <-done, nil)
}

// A node that starts right after a restart of the database server finds the nodes that
// were running, although they haven't taken their locks again.
func TestNodesAfterDatabaseRestart(t *testing.T) {
	server := realservice.NewMariaDB(t)
	h := newHarness(t, Options{DB: server.URL})
	before := &Entry{db: h.DB, node: Node{Name: "before", Bus: 7}, log: h.o.Logger.Warn} // its keep comes late
	want(t, before.add(ctx), nil)
	defer before.unlock()
	server.Kill(t)
	server.Start(t)
	var e *Entry
	for err := errors.New(""); err != nil; { // connections from before the restart fail once
		e, err = h.Enter(ctx, Node{Name: "after"})
	}
	defer e.Close()
	others, err := e.Others(ctx, true)
	want(t, err, nil)
	if len(others) != 1 || others[0] != before.node {
		t.Errorf("after the restart, the other nodes are %v, want %v", others, before.node)
	}
	// If it doesn't come back, it isn't listed for long.
	for len(others) > 0 {
		time.Sleep(100 * time.Millisecond)
		others, err = e.Others(ctx, true)
		want(t, err, nil)
	}
}

// onWarning is a log handler that signals records.
type onWarning struct {
	slog.Handler
	signal chan struct{}
}

func (o onWarning) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

func (o onWarning) Handle(context.Context, slog.Record) error {
	select {
	case o.signal <- struct{}{}:
	default:
	}
	return nil
}
