package model

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"chatd/model/faultvfs"
)

// A diskRun uses a store whose files a faultvfs.Disk records. It knows which
// messages and other writes were acknowledged, and after how many operations on the
// disk.
type diskRun struct {
	*harness
	disk  *faultvfs.Disk
	rng   *rand.Rand
	users []int64
	group int64
	life  int     // how many processes were killed before this one
	ready int     // Disk.Len when the users and the group existed
	extra []int64 // users that other has added

	mu    sync.Mutex
	sent  []*sentMessage // in the order of the Append calls
	byCID map[string]*sentMessage
	facts []fact
	odd   []error // acknowledgments that contradict others
}

// sentMessage is a message that was passed to Append, perhaps more than once.
type sentMessage struct {
	sender, peer, group int64
	cid                 string
	body                []byte

	acked     bool
	at        int // Disk.Len when it was first acknowledged
	conv, seq int64
}

func (m *sentMessage) append(retry bool) *Append {
	return &Append{Sender: m.sender, Peer: m.peer, Group: m.group, CID: []byte(m.cid), Body: m.body, Retry: retry}
}

// fact is a write other than a message.
type fact struct {
	what  string
	at    int // Disk.Len when it had returned
	holds func(db *DB) error
}

// diskSeed returns the seed of a test: CHATD_DISK_SEED, or a random one.
func diskSeed(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64() >> 32
	if s := os.Getenv("CHATD_DISK_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("CHATD_DISK_SEED: %v", err)
		}
	}
	t.Logf("to repeat this run: CHATD_DISK_SEED=%d", seed)
	return seed
}

// diskTime returns how long a test should go on with further runs: CHATD_DISK_TIME,
// or no time at all.
func diskTime(t *testing.T) time.Duration {
	t.Helper()
	s := os.Getenv("CHATD_DISK_TIME")
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("CHATD_DISK_TIME: %v", err)
	}
	return d
}

// newDiskRun opens a store in dir. Its write-ahead log is so small that there are
// many checkpoints.
func newDiskRun(t *testing.T, dir string, disk *faultvfs.Disk, sync string, seed uint64) *diskRun {
	t.Helper()
	t.Cleanup(disk.Detach)
	r := &diskRun{disk: disk, rng: rand.New(rand.NewPCG(seed, 1)), byCID: make(map[string]*sentMessage)}
	r.harness = newHarness(t, Options{DB: "sqlite:" + filepath.Join(dir, "chat.db"), SQLiteSync: sync, Readers: 2, maxRows: 8, noBackground: true})
	t.Cleanup(func() { disk.Repair() })
	r.harness.mu.Lock()
	r.tell = r.sunkNow
	r.harness.mu.Unlock()
	r.smallLog()
	return r
}

// smallLog makes SQLite do a checkpoint every 60 pages.
func (r *diskRun) smallLog() {
	r.t.Helper()
	if _, err := r.sql.Writer.Exec(`PRAGMA wal_autocheckpoint(60)`); err != nil {
		r.t.Fatal(err)
	}
}

// sunkNow records acknowledgments. The sink calls it.
func (r *diskRun) sunkNow(batch []*Append) {
	at := r.disk.Len()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range batch {
		m := r.byCID[string(a.CID)]
		switch {
		case a.Err != nil:
		case m.acked && (m.seq != a.Seq || m.conv != a.Conv):
			r.odd = append(r.odd, fmt.Errorf("cid %s was acknowledged with seq %d of conversation %d, and then with seq %d of %d", m.cid, m.seq, m.conv, a.Seq, a.Conv))
		case !m.acked:
			m.acked, m.at, m.conv, m.seq = true, at, a.Conv, a.Seq
		}
	}
}

// did records a write that has returned without an error.
func (r *diskRun) did(what string, holds func(db *DB) error) {
	r.facts = append(r.facts, fact{what, r.disk.Len(), holds})
}

// prepared is a closed store with what setUp creates.
var prepared = sync.OnceValues(func() (store preparedStore, err error) {
	dir, err := os.MkdirTemp("", "chatd-prepared-")
	if err != nil {
		return store, err
	}
	defer os.RemoveAll(dir)
	im, err := openImage(dir)
	if err != nil {
		return store, err
	}
	for i := range 5 {
		name := fmt.Sprint("user", i)
		id, err := im.CreateUser(ctx, name, name, "hash")
		if err != nil {
			return store, err
		}
		store.users = append(store.users, id)
	}
	u, err := im.UserByID(ctx, store.users[0])
	if err != nil {
		return store, err
	}
	if _, _, _, err := im.OpenDevice(ctx, u, "phone", []byte("token"), 8, connected); err != nil {
		return store, err
	}
	g, err := im.CreateGroup(ctx, store.users[0], "group", "", 1000)
	if err != nil {
		return store, err
	}
	store.group = g.Group
	for _, id := range store.users[1:4] {
		if _, err := im.JoinGroup(ctx, store.group, id, 1000, 1000); err != nil {
			return store, err
		}
	}
	if err := im.Close(); err != nil {
		return store, err
	}
	store.file, err = os.ReadFile(filepath.Join(dir, "chat.db"))
	return store, err
})

type preparedStore struct {
	file  []byte
	users []int64
	group int64
}

// preparedRun starts a run of a store that setUp need not be called for.
func preparedRun(t *testing.T, seed uint64, sync string, bug faultvfs.Bug) *diskRun {
	t.Helper()
	store, err := prepared()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "chat.db"), store.file, 0o600); err != nil {
		t.Fatal(err)
	}
	disk, err := faultvfs.Attach(dir)
	if err != nil {
		t.Fatal(err)
	}
	disk.Break(bug)
	r := newDiskRun(t, dir, disk, sync, seed)
	r.users, r.group = store.users, store.group
	r.ready = r.disk.Len()
	return r
}

// setUp creates users, a group and a device.
func (r *diskRun) setUp() {
	r.t.Helper()
	r.users = r.harness.users(5)
	r.group = r.harness.group(r.users[:4]...)
	r.device(r.users[0], "phone")
	r.did("users", func(db *DB) error {
		_, err := db.UserByID(ctx, r.users[4])
		return err
	})
	r.did("group", r.isMember(r.users[3]))
	r.ready = r.disk.Len()
}

func (r *diskRun) isMember(user int64) func(db *DB) error {
	return func(db *DB) error {
		_, members, err := db.MemberIDs(ctx, r.group)
		if err == nil && !slices.ContainsFunc(members, func(m Member) bool { return m.User == user }) {
			err = fmt.Errorf("user %d isn't in group %d", user, r.group)
		}
		return err
	}
}

// messages returns n new messages to random conversations.
func (r *diskRun) messages(n, bodySize int) (l []*sentMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for range n {
		i := r.rng.IntN(4)
		m := &sentMessage{sender: r.users[i], cid: fmt.Sprintf("m%d", len(r.sent)), body: make([]byte, 1+r.rng.IntN(bodySize))}
		if r.rng.IntN(3) == 0 {
			m.group = r.group
		} else {
			m.peer = r.users[r.rng.IntN(4)]
		}
		for i := range m.body {
			m.body[i] = byte(r.rng.Uint32())
		}
		r.sent = append(r.sent, m)
		r.byCID[m.cid] = m
		l = append(l, m)
	}
	return l
}

// pass passes messages to the store, and returns them without waiting.
func (r *diskRun) pass(retry bool, l ...*sentMessage) (batch []*Append) {
	r.t.Helper()
	for _, m := range l {
		batch = append(batch, m.append(retry))
	}
	if err := r.Append(batch...); err != nil {
		r.t.Fatal(err)
	}
	return batch
}

// soon runs do, which must not take forever.
func soon(what string, do func()) {
	stuck := time.AfterFunc(2*time.Minute, func() {
		debug.SetTraceback("all")
		panic("deadlock: " + what + " has not returned for two minutes")
	})
	defer stuck.Stop()
	do()
}

// round stores some messages, and other things at the same time, and sometimes moves
// messages to the indexes afterwards. It returns the
// messages that failed, and the errors of the other things.
func (r *diskRun) round(i int) (failed []*sentMessage, errs []error) {
	r.t.Helper()
	var l []*sentMessage
	if i%8 == 7 {
		l = r.messages(12, 30<<10) // more than one buffer of walwriter
	} else {
		l = r.messages(1+r.rng.IntN(6), 300)
	}
	half := r.rng.IntN(len(l) + 1)
	var batch []*Append
	if half > 0 {
		batch = r.pass(false, l[:half]...)
	}
	if err := r.other(i); err != nil {
		errs = append(errs, err)
	}
	if half < len(l) {
		batch = append(batch, r.pass(false, l[half:]...)...)
	}
	if i%7 == 3 || i%7 == 5 {
		old := r.sent[r.rng.IntN(len(r.sent))]
		l, batch = append(l, old), append(batch, r.pass(i%7 == 3, old)...)
	}
	soon("storing messages", func() { r.await(batch...) })
	for i, a := range batch {
		if a.Err != nil {
			failed = append(failed, l[i])
		}
	}
	if i%3 == 1 {
		if _, err := r.folder.Slice(ctx); err != nil {
			errs = append(errs, err)
		}
	}
	return failed, errs
}

// other writes something other than messages.
func (r *diskRun) other(i int) error {
	switch i % 6 {
	case 0:
		name := fmt.Sprintf("extra %d %d", r.life, i)
		id, err := r.CreateUser(ctx, name, name, "hash")
		if err != nil {
			return err
		}
		r.extra = append(r.extra, id)
		r.did(name, func(db *DB) error {
			u, err := db.UserByID(ctx, id)
			if err == nil && u.Name != name {
				err = fmt.Errorf("user %d is called %q, want %q", id, u.Name, name)
			}
			return err
		})
	case 1:
		if len(r.extra) == 0 {
			return nil
		}
		id := r.extra[len(r.extra)-1]
		if _, err := r.JoinGroup(ctx, r.group, id, 1000, 1000); err != nil && !errors.Is(err, ErrAlready) {
			return err
		}
		r.did(fmt.Sprintf("user %d in the group", id), r.isMember(id))
	case 2:
		if len(r.extra) == 0 {
			return nil
		}
		id := r.extra[len(r.extra)-1]
		if _, err := r.AddFriend(ctx, r.users[4], id, 1000); err != nil && !errors.Is(err, ErrAlready) {
			return err
		}
		r.did(fmt.Sprintf("friend %d", id), func(db *DB) error {
			friends, _, err := db.AreFriends(ctx, r.users[4], id)
			if err == nil && !friends {
				err = fmt.Errorf("users %d and %d aren't friends", r.users[4], id)
			}
			return err
		})
	case 3:
		var last int64
		for _, m := range r.known() {
			if m.conv == r.group {
				last = max(last, m.seq)
			}
		}
		if last == 0 {
			return nil
		}
		r.SetDelivered(r.users[0], "phone", r.group, last)
		if err := r.Flush(ctx, r.users[0]); err != nil {
			return err
		}
		r.did(fmt.Sprintf("cursor %d", last), func(db *DB) error {
			seqs, err := db.DeliveredSeqs(ctx, []DeviceCursor{{r.group, r.users[0], "phone"}})
			if err == nil && seqs[0] < last {
				err = fmt.Errorf("delivered cursor = %d, want at least %d", seqs[0], last)
			}
			return err
		})
	case 4:
		if i%4 != 0 {
			return nil
		}
		release, err := r.sql.AcquirePriority(ctx)
		if err != nil {
			return err
		}
		defer release()
		_, err = r.sql.Writer.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
		return err
	}
	return nil
}

// known returns copies of the messages that were sent.
func (r *diskRun) known() (l []sentMessage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.sent {
		l = append(l, *m)
	}
	return l
}

// image is a store that was opened on what a power cut or a kill has left.
type image struct {
	*DB
	mu   sync.Mutex
	sunk int
	done chan struct{}
	want int
}

// openImage opens the store in dir as a new process does.
func openImage(dir string) (*image, error) {
	im := &image{done: make(chan struct{})}
	db, err := Open(ctx, Options{DB: "sqlite:" + filepath.Join(dir, "chat.db"), Readers: 1, CursorInterval: time.Hour, maxRows: 8,
		Sink: func(_ context.Context, batch []*Append) {
			im.mu.Lock()
			defer im.mu.Unlock()
			if im.sunk += len(batch); im.sunk == im.want {
				close(im.done)
			}
		}})
	im.DB = db
	return im, err
}

// store passes messages to Append and waits for the sink. It may be called once.
func (im *image) store(batch []*Append) error {
	im.mu.Lock()
	im.want = len(batch)
	im.mu.Unlock()
	if err := im.Append(batch...); err != nil {
		return err
	}
	soon("storing messages again", func() { <-im.done })
	return nil
}

type messageID struct {
	sender int64
	cid    string
}

// logs reads the logs of all conversations through the store's methods. It returns an
// error unless each has the seqs 1, 2, 3 … up to its last_seq, and no cid of a sender
// twice.
func (im *image) logs() (map[messageID]Message, error) {
	all := make(map[messageID]Message)
	ids := make([]int64, 16) // more than the runs create
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	heads, err := im.LogHeads(ctx, ids)
	if err != nil {
		return nil, err
	}
	for _, head := range heads {
		after := int64(0)
		for {
			l, err := im.Page(ctx, head.Conv, after, 500, 1<<30)
			if err != nil {
				return nil, err
			}
			if len(l) == 0 {
				break
			}
			for _, m := range l {
				if m.Seq != after+1 {
					return nil, fmt.Errorf("conversation %d: seq %d follows %d", head.Conv, m.Seq, after)
				}
				after = m.Seq
				k := messageID{m.Sender, string(m.CID)}
				if other, ok := all[k]; ok {
					return nil, fmt.Errorf("cid %s of user %d is stored twice: seq %d of conversation %d, seq %d of conversation %d", k.cid, k.sender, other.Seq, other.Conv, m.Seq, m.Conv)
				}
				all[k] = m
			}
		}
		if after != head.Last {
			return nil, fmt.Errorf("conversation %d: the log ends at seq %d, last_seq is %d", head.Conv, after, head.Last)
		}
	}
	return all, nil
}

// complete checks that the store has everything that was acknowledged within the first
// at operations. log is what logs has returned.
func (r *diskRun) complete(db *DB, log map[messageID]Message, at int) error {
	for _, m := range r.known() {
		if !m.acked || m.at > at {
			continue
		}
		got, ok := log[messageID{m.sender, m.cid}]
		if !ok {
			return fmt.Errorf("cid %s, acknowledged with seq %d of conversation %d, is lost", m.cid, m.seq, m.conv)
		}
		if got.Conv != m.conv || got.Seq != m.seq || string(got.Body) != string(m.body) {
			return fmt.Errorf("cid %s: seq %d of conversation %d with %d bytes, want seq %d of conversation %d and the same %d bytes",
				m.cid, got.Seq, got.Conv, len(got.Body), m.seq, m.conv, len(m.body))
		}
	}
	for _, f := range r.facts {
		if f.at > at {
			break
		}
		if err := f.holds(db); err != nil {
			return fmt.Errorf("%s: %w", f.what, err)
		}
	}
	return nil
}

// check opens the store in dir, which is what a power cut or a kill has left after at
// operations, and returns an error if it breaks a promise.
func (r *diskRun) check(dir string, at int, rng *rand.Rand) (err error) {
	im, err := openImage(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, im.Close()) }()
	var whole string
	if err := im.sql.Writer.Get(&whole, `PRAGMA integrity_check`); err != nil || whole != "ok" {
		return fmt.Errorf("integrity check: %q, error %v", whole, err)
	}
	log, err := im.logs()
	if err != nil {
		return err
	}
	if err := r.complete(im.DB, log, at); err != nil {
		return err
	}
	sent := r.known()
	feed, err := im.StartFeed(ctx)
	if err != nil {
		return err
	}
	if at < r.ready { // there are no users or no group to send to yet
		return nil
	}
	var again []*Append
	for _, m := range sent {
		again = append(again, m.append(rng.IntN(2) == 0))
	}
	if len(again) == 0 {
		return nil
	}
	if err := im.store(again); err != nil {
		return err
	}
	fresh := 0
	for i, a := range again {
		old, ok := log[messageID{sent[i].sender, sent[i].cid}]
		if a.Err != nil || ok && (a.Seq != old.Seq || a.Conv != old.Conv || a.Stored) || !ok && !a.Stored {
			return fmt.Errorf("sent again: %s; was stored before: %t, with seq %d of conversation %d", show(a), ok, old.Seq, old.Conv)
		}
		if !ok {
			fresh++
		}
	}
	after, err := im.logs()
	if err != nil {
		return fmt.Errorf("after sending everything again: %w", err)
	}
	if len(after) != len(sent) || len(after) != len(log)+fresh {
		return fmt.Errorf("after sending everything again, %d messages are stored, want %d: there were %d, and %d are new", len(after), len(sent), len(log), fresh)
	}
	for more := true; more; {
		rows, m, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		for _, row := range rows {
			for _, s := range row.Spans {
				fresh -= int(s.Last - s.First + 1)
			}
		}
		more = m
	}
	if fresh > 0 {
		return fmt.Errorf("the feed lacks %d of the messages that were stored again", fresh)
	}
	return nil
}
