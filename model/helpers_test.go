package model

import (
	"context"
	"database/sql"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"chatd/internal/realservice"
	"chatd/model/faultvfs"
	"chatd/model/sqldb"
)

func TestMain(m *testing.M) {
	if childMain() {
		return
	}
	// It does nothing to databases without a faultvfs.Disk.
	if err := faultvfs.Register(); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// dialects are the databases that the tests run with.
var dialects = []struct {
	name   string
	url    func(t testing.TB) string
	poison string // a trigger that refuses inserts into table %s if condition %s holds
}{
	{
		"sqlite",
		func(t testing.TB) string { return "sqlite:" + filepath.Join(t.TempDir(), "chat.db") },
		`CREATE TRIGGER poison BEFORE INSERT ON %s WHEN %s BEGIN SELECT RAISE(ABORT, 'poison'); END`,
	},
	{
		"mysql",
		func(t testing.TB) string { return realservice.MariaDB(t) },
		`CREATE TRIGGER poison BEFORE INSERT ON %s FOR EACH ROW BEGIN IF %s THEN SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'poison'; END IF; END`,
	},
}

// each runs a test with each dialect.
func each(t *testing.T, test func(t *testing.T, h *harness)) {
	for _, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			h := newHarness(t, Options{DB: d.url(t)})
			h.poisoned = d.poison
			test(t, h)
		})
	}
}

// onSQLite runs a test with SQLite only: it depends on the single writing
// connection, or on the file.
func onSQLite(t *testing.T, test func(t *testing.T, h *harness)) {
	test(t, newHarness(t, Options{DB: dialects[0].url(t)}))
}

// harness is a store whose sink records the messages it gets.
type harness struct {
	*DB
	t testing.TB
	o Options

	poisoned string // poison of the dialect

	mu   sync.Mutex
	sunk []*Append
	wait chan struct{}   // closed and replaced with each batch
	hold chan struct{}   // if set, the sink blocks until it is closed
	tell func([]*Append) // if set, the sink calls it first
	time time.Time
}

func newHarness(t testing.TB, o Options) *harness {
	h := &harness{t: t, wait: make(chan struct{}), time: time.UnixMilli(1_700_000_000_000)}
	o.Sink = h.sink
	if o.Now == nil {
		o.Now = h.now
	}
	if o.CursorInterval == 0 {
		o.CursorInterval = time.Hour // the timer must not write cursors that a test wants pending
	}
	h.o = o
	h.open()
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *harness) open() {
	h.t.Helper()
	db, err := Open(context.Background(), h.o)
	if err != nil {
		h.t.Fatal(err)
	}
	h.DB = db
}

func (h *harness) reopen() {
	h.t.Helper()
	if err := h.Close(); err != nil {
		h.t.Fatal(err)
	}
	h.open()
}

// now is the store's clock. Only pass moves it.
func (h *harness) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.time
}

func (h *harness) pass(d time.Duration) {
	h.mu.Lock()
	h.time = h.time.Add(d)
	h.mu.Unlock()
}

func (h *harness) sink(_ context.Context, batch []*Append) {
	h.mu.Lock()
	hold, tell := h.hold, h.tell
	h.mu.Unlock()
	if tell != nil {
		tell(batch)
	}
	if hold != nil {
		<-hold
	}
	h.mu.Lock()
	h.sunk = append(h.sunk, batch...)
	close(h.wait)
	h.wait = make(chan struct{})
	h.mu.Unlock()
}

// poison makes the database refuse rows of a table for which a condition holds.
func (h *harness) poison(table, when string) {
	h.t.Helper()
	if table == "messages" && h.folder != nil {
		table = "recent" // where messages go
	}
	if _, err := h.sql.Writer.Exec(fmt.Sprintf(h.poisoned, table, when)); err != nil {
		h.t.Fatal(err)
	}
}

// commits replaces the function that commits appends. No append may be running.
func (h *harness) commits(how func(*sql.Tx) error) {
	for _, s := range h.steps {
		s.Main.(*appendStep).commit = how
		if s.Wait != nil {
			s.Wait.(*appendStep).commit = how
		}
	}
}

// metric returns the value of a counter.
func (h *harness) metric(name string) uint64 { return h.DB.o.Set.GetOrCreateCounter(name).Get() }

// transient reports whether the same operation may work later.
func (h *harness) transient(err error) bool {
	class := h.d.Classify(err)
	return class == sqldb.Transient || class.Retryable()
}

// store appends messages and waits until the sink has all of them.
func (h *harness) store(batch ...*Append) {
	h.t.Helper()
	if err := h.Append(batch...); err != nil {
		h.t.Fatal(err)
	}
	h.await(batch...)
}

// await waits until the sink has all of the messages.
func (h *harness) await(batch ...*Append) {
	missing := make(map[*Append]bool)
	for _, a := range batch {
		missing[a] = true
	}
	seen := 0
	for {
		h.mu.Lock()
		for ; seen < len(h.sunk); seen++ {
			delete(missing, h.sunk[seen])
		}
		wait := h.wait
		h.mu.Unlock()
		if len(missing) == 0 {
			return
		}
		<-wait
	}
}

// user creates a user and returns the ID.
func (h *harness) user(name string) int64 {
	h.t.Helper()
	id, err := h.CreateUser(context.Background(), name, name, "hash of "+name)
	if err != nil {
		h.t.Fatal(err)
	}
	return id
}

// users creates n users named user0, user1 and so on.
func (h *harness) users(n int) []int64 {
	h.t.Helper()
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = h.user(fmt.Sprintf("user%d", i))
	}
	return ids
}

// group creates a group of users. The first one is its creator.
func (h *harness) group(users ...int64) int64 {
	h.t.Helper()
	a, err := h.CreateGroup(context.Background(), users[0], "group", "of friends", 1000)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, u := range users[1:] {
		if _, err := h.JoinGroup(context.Background(), a.Group, u, 1000, 1000); err != nil {
			h.t.Fatal(err)
		}
	}
	return a.Group
}

func toPeer(from, to int64, cid string) *Append {
	return &Append{Sender: from, Peer: to, CID: []byte(cid), Body: []byte("body of " + cid)}
}

func toGroup(from, group int64, cid string) *Append {
	return &Append{Sender: from, Group: group, CID: []byte(cid), Body: []byte("body of " + cid)}
}

// show describes a message and its outcome.
func show(a *Append) string {
	return fmt.Sprintf("message %q of user %d: stored %t, conversation %d, seq %d, last %d, version %d, time %d, error %v",
		a.CID, a.Sender, a.Stored, a.Conv, a.Seq, a.Last, a.Version, a.Time, a.Err)
}

// log returns all messages of a conversation.
func (h *harness) log(conv int64) []Message {
	h.t.Helper()
	var all []Message
	for {
		after := int64(0)
		if len(all) > 0 {
			after = all[len(all)-1].Seq
		}
		l, err := h.Page(context.Background(), conv, after, 500, 1<<30)
		if err != nil {
			h.t.Fatal(err)
		}
		if len(l) == 0 {
			return all
		}
		all = append(all, l...)
	}
}

// convs returns the IDs of all conversations.
func (h *harness) convs() (ids []int64) {
	h.t.Helper()
	if err := h.sql.Reader.Select(&ids, `SELECT id FROM conversations`); err != nil {
		h.t.Fatal(err)
	}
	return ids
}

// logIn logs a device in with the user's current password. It returns the devices
// that were logged out because the user had too many.
func (h *harness) logIn(user int64, device string, token []byte, max int) (evicted []string, err error) {
	u, err := h.UserByID(ctx, user)
	if err != nil {
		return nil, err
	}
	_, _, ended, err := h.OpenDevice(ctx, u, device, token, max, connected)
	for _, e := range ended {
		if e.Device != device {
			evicted = append(evicted, e.Device)
		}
	}
	return evicted, err
}

// startSession starts a session by token.
func (h *harness) startSession(token []byte) (session int64, err error) {
	done := make(chan struct{})
	h.StartSession(token, connected, anyUser, func(s Started, e error) {
		session, err = s.Number, e
		close(done)
	})
	<-done
	return session, err
}

// connected is the argument gone of StartSession and OpenDevice for a client that
// stays.
func connected() bool { return false }

// anyUser is the argument allow of StartSession that refuses nobody.
func anyUser(int64) error { return nil }
