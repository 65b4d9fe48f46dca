package model

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"

	"chatd/model/feed"
)

// ended returns the ended sessions that the feed has returned since the last call.
func (f *follower) ended() (all []feed.Ended) {
	f.look()
	for _, r := range f.rows {
		all = append(all, r.Ended...)
	}
	f.rows = nil
	return all
}

// Each transaction that ends sessions says in the feed which ones. So nodes find out
// even if Redis loses all hints. Numbers rise with each login of a user, by password
// or token.
func TestEndedSessions(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u, other := h.user("a"), h.user("b")
		f := follow(t, h)
		expect := func(what string, want ...feed.Ended) {
			t.Helper()
			if got := f.ended(); !slices.Equal(got, want) {
				t.Errorf("%s: the feed has %+v, want %+v", what, got, want)
			}
		}
		open := func(user int64, device string, max int) int64 {
			t.Helper()
			found, err := h.UserByID(ctx, user)
			want(t, err, nil)
			n, _, _, err := h.OpenDevice(ctx, found, device, fmt.Append(nil, user, device), max, connected)
			want(t, err, nil)
			return n
		}
		if n := open(u, "phone", 2); n != 1 {
			t.Errorf("the first session has number %d, want 1", n)
		}
		expect("login", feed.Ended{User: u, Device: "phone", Before: 1, Why: feed.Replaced})
		open(other, "phone", 2)
		expect("login of another user", feed.Ended{User: other, Device: "phone", Before: 1, Why: feed.Replaced})
		n, err := h.startSession(fmt.Append(nil, u, "phone"))
		want(t, err, nil)
		if n != 2 {
			t.Errorf("the session by token has number %d, want 2", n)
		}
		expect("login by token", feed.Ended{User: u, Device: "phone", Before: 2, Why: feed.Replaced})
		h.pass(time.Minute)
		open(u, "pad", 2)
		f.ended()
		h.pass(time.Minute)
		open(u, "tv", 2)
		expect("the third of two devices", feed.Ended{User: u, Device: "tv", Before: 4, Why: feed.Replaced},
			feed.Ended{User: u, Device: "phone", Before: 4, Why: feed.LoggedOut})
		_, err = h.startSession(fmt.Append(nil, u, "phone"))
		want(t, err, ErrNotFound)
		expect("login by an ended token")

		_, err = h.ChangePassword(ctx, User{ID: u, Hash: "hash of a"}, "new", "tv", 4, fmt.Append(nil, u, "tv"), []byte("tv 2"))
		want(t, err, nil)
		expect("PASSWORD", feed.Ended{User: u, Before: 5, Keep: 4, Why: feed.LoggedOut})
		_, err = h.CloseDevice(ctx, u, "tv", 4, []byte("tv 2"))
		want(t, err, nil)
		expect("LOGOUT", feed.Ended{User: u, Device: "tv", Before: 6, Keep: 4, Why: feed.LoggedOut})
		_, err = h.CloseDevice(ctx, u, "tv", 4, []byte("tv 2"))
		want(t, err, nil)
		expect("LOGOUT without a token")
		for _, c := range []struct {
			what string
			do   func() error
		}{
			{"ban", func() error { return h.Ban(ctx, u, true) }},
			{"passwd", func() error { return h.OperatorPassword(ctx, u, "x") }},
			{"delete", func() error { return h.DeleteUser(ctx, u) }},
		} {
			before := f.ended()
			want(t, c.do(), nil)
			all := f.ended()
			if len(before) > 0 || len(all) != 1 || all[0].User != u || all[0].Device != "" || all[0].Before < 7 || all[0].Why != feed.ByOperator {
				t.Errorf("%s: the feed has %+v, want one row about all devices of user %d", c.what, all, u)
			}
		}
		want(t, h.Ban(ctx, other, false), nil)
		expect("unban")
	})
}

// Of two password changes that have checked the same old password, the second one
// fails: otherwise its client would be told that a password is set that isn't. So does
// one of a session that has ended since.
func TestChangePasswordOnce(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		for round := range 5 {
			u := h.user(fmt.Sprint("a", round))
			user, err := h.UserByID(ctx, u)
			want(t, err, nil)
			devices := []string{"phone", "pad"}
			var tokens [2][]byte
			var sessions [2]int64
			for i, d := range devices {
				tokens[i] = fmt.Append(nil, u, d)
				sessions[i], _, _, err = h.OpenDevice(ctx, user, d, tokens[i], 8, connected)
				want(t, err, nil)
			}
			var errs [2]error
			var both sync.WaitGroup
			for i, d := range devices {
				both.Go(func() {
					_, errs[i] = h.ChangePassword(ctx, user, "hash of "+d, d, sessions[i], tokens[i], fmt.Append(nil, u, d, "new"))
				})
			}
			both.Wait()
			now, err := h.UserByID(ctx, u)
			want(t, err, nil)
			for i, d := range devices {
				if won := now.Hash == "hash of "+d; won != (errs[i] == nil) || !won && !errors.Is(errs[i], ErrNotFound) {
					t.Errorf("round %d: the %s got error %v, and the hash is %q; want no error for one device, and ErrNotFound for the other", round, d, errs[i], now.Hash)
				}
			}
			winner := slices.Index(errs[:], nil)
			if winner < 0 {
				t.Fatal("both failed, want one to succeed")
			}
			if _, err := h.startSession(fmt.Append(nil, u, devices[winner], "new")); err != nil {
				t.Fatalf("the new token: error %v, want none", err)
			}
			_, err = h.ChangePassword(ctx, now, "third", devices[winner], sessions[winner], fmt.Append(nil, u, devices[winner], "new"), []byte("x"))
			want(t, err, ErrNotFound) // the session was replaced
		}
	})
}

// lockWaits waits until a statement that ends with FOR UPDATE runs, or done is closed. It
// reports whether one runs.
func (h *harness) lockWaits(done <-chan struct{}) bool {
	h.t.Helper()
	for {
		select {
		case <-done:
			return false
		default:
		}
		var n int
		if err := h.sql.Reader.Get(&n, `SELECT COUNT(*) FROM information_schema.processlist WHERE info LIKE '%FOR UPDATE'`); err != nil {
			h.t.Fatal(err)
		}
		if n > 0 {
			return true
		}
		time.Sleep(time.Millisecond)
	}
}

// A login that checks the password while another transaction is changing it waits for
// that transaction, and then fails. Otherwise its token would survive the change.
func TestLoginWaitsForPasswordChange(t *testing.T) {
	h := newHarness(t, Options{DB: dialects[1].url(t)})
	u := h.user("a")
	user, err := h.UserByID(ctx, u)
	want(t, err, nil)
	tx := mustBegin(t, h)
	defer tx.Rollback()
	_, err = tx.Exec(`UPDATE users SET password_hash = 'new' WHERE id = ?`, u)
	want(t, err, nil)
	var late error
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _, _, late = h.OpenDevice(ctx, user, "thief", []byte("late"), 8, connected)
	}()
	if !h.lockWaits(done) {
		t.Errorf("the login returned (error %v) while the password was being changed, want it to wait", late)
	}
	_, err = tx.Exec(`UPDATE devices SET token_hash = NULL WHERE user_id = ?`, u)
	want(t, err, nil)
	want(t, tx.Commit(), nil)
	<-done
	want(t, late, ErrNotFound)
	_, err = h.TokenDevice(ctx, []byte("late"))
	want(t, err, ErrNotFound)
}

func mustBegin(t *testing.T, h *harness) *sqlx.Tx {
	t.Helper()
	tx, err := h.sql.Writer.Beginx()
	want(t, err, nil)
	return tx
}

// However many devices log in at the same time, on several nodes, a user never has
// more than the limit, and every session has a number of its own.
func TestDevicesAtOnce(t *testing.T) {
	for i, d := range dialects {
		t.Run(d.name, func(t *testing.T) {
			all := stores(t, i, 2)
			u := all[0].user("a")
			user, err := all[0].UserByID(ctx, u)
			want(t, err, nil)
			var mu sync.Mutex
			numbers := make(map[int64]string)
			note := func(n int64, what string) {
				mu.Lock()
				defer mu.Unlock()
				if other, ok := numbers[n]; ok {
					t.Errorf("%s and %s both have number %d", what, other, n)
				}
				numbers[n] = what
			}
			var logins sync.WaitGroup
			for i := range 24 {
				h, device := all[i%2], fmt.Sprint("d", i)
				logins.Go(func() {
					n, _, _, err := h.OpenDevice(ctx, user, device, []byte(device), 8, connected)
					if err != nil {
						t.Error(err)
						return
					}
					note(n, device)
					switch n, err = h.startSession([]byte(device)); {
					case err == nil:
						note(n, device+" by token")
					case !errors.Is(err, ErrNotFound): // evicted
						t.Error(err)
					}
				})
			}
			logins.Wait()
			if n := all[0].count(`SELECT COUNT(*) FROM devices`); n != 8 {
				t.Errorf("the user has %d devices, want 8", n)
			}
		})
	}
}

// Many sessions of many users start in few transactions, each user's in order. Tokens
// that aren't valid are found. While another transaction has locked a user's row, the
// sessions of other users start.
func TestStartSessions(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		const users, each = 40, 3
		u := h.users(users)
		for _, id := range u {
			_, err := h.logIn(id, "phone", fmt.Append(nil, id), 8)
			want(t, err, nil)
		}
		want(t, h.Ban(ctx, u[0], true), nil)
		begin := func(ids []int64) (wait func()) {
			var left sync.WaitGroup
			for _, id := range ids {
				first, err := h.TokenDevice(ctx, fmt.Append(nil, id))
				if id != u[0] {
					want(t, err, nil)
				}
				for i := range int64(each) {
					left.Add(1)
					h.StartSession(fmt.Append(nil, id), connected, anyUser, func(st Started, err error) {
						defer left.Done()
						n := st.Number
						switch {
						case id == u[0]:
							if !errors.Is(err, ErrNotFound) {
								t.Errorf("banned user: session %d, error %v; want ErrNotFound", n, err)
							}
						case err != nil || n != first.Session+1+i:
							t.Errorf("user %d: session %d, error %v; want %d", id, n, err, first.Session+1+i)
						}
					})
				}
			}
			return left.Wait
		}
		f := follow(t, h)
		begin(u)()
		f.look()
		if len(f.rows) > users {
			t.Errorf("%d transactions for %d sessions, want fewer than %d", len(f.rows), users*each, users)
		}
		if got, err := h.TokenDevice(ctx, fmt.Append(nil, u[1])); err != nil || got.Session != 1+each {
			t.Errorf("the device's session is %d (error %v), want %d", got.Session, err, 1+each)
		}
		if h.d.ForUpdate == "" {
			return
		}
		tx := mustBegin(t, h)
		defer tx.Rollback()
		_, err := tx.Exec(`UPDATE users SET banned = 0 WHERE id = ?`, u[1])
		want(t, err, nil)
		waitLocked := begin(u[1:2])
		begin(u[2:])() // returns while u[1] is locked
		want(t, tx.Commit(), nil)
		waitLocked()
	})
}

// A start queues for the lock of its user's row, so that other requests that keep
// locking the row can't keep the user from logging in.
func TestStartWaitsForLock(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		if h.d.ForUpdate == "" {
			t.Skip("SQLite has no row locks")
		}
		id := h.user("a")
		_, err := h.logIn(id, "phone", []byte("t"), 8)
		want(t, err, nil)
		tx := mustBegin(t, h)
		defer tx.Rollback()
		_, err = tx.Exec(`UPDATE users SET banned = 0 WHERE id = ?`, id)
		want(t, err, nil)
		done := make(chan error, 1)
		h.StartSession([]byte("t"), connected, anyUser, func(_ Started, err error) { done <- err })
		for waiting := 0; waiting == 0; {
			want(t, h.sql.Reader.Get(&waiting, `SELECT COUNT(*) FROM information_schema.innodb_trx
				WHERE trx_state = 'LOCK WAIT' AND trx_query LIKE '%last_session%'`), nil)
			select {
			case err := <-done:
				t.Fatalf("the start ended with error %v, want that it waits for the lock", err)
			case <-time.After(200 * time.Millisecond): // the server keeps the table of transactions while it is read more often
			}
		}
		want(t, tx.Commit(), nil)
		want(t, <-done, nil)
	})
}

// A store that is closed answers all calls of StartSession.
func TestStartSessionsClosed(t *testing.T) {
	onSQLite(t, func(t *testing.T, h *harness) {
		id := h.user("a")
		_, err := h.logIn(id, "phone", []byte("t"), 8)
		want(t, err, nil)
		var left sync.WaitGroup
		left.Add(2000)
		for i := range 2000 {
			h.StartSession([]byte("t"), connected, anyUser, func(_ Started, err error) {
				if err != nil && !errors.Is(err, ErrClosed) {
					t.Errorf("error %v, want none or ErrClosed", err)
				}
				left.Done()
			})
			if i == 1000 {
				go h.Close()
			}
		}
		left.Wait()
	})
}

// The login of a client that has disconnected ends no session: the client may have
// logged in elsewhere meanwhile.
func TestStartSessionOfGoneClient(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(1)[0]
		h.device(u, "phone")
		token := fmt.Append(nil, u, "phone")
		before, err := h.TokenDevice(ctx, token)
		want(t, err, nil)
		done := make(chan error)
		h.StartSession(token, func() bool { return true }, anyUser, func(_ Started, err error) { done <- err })
		want(t, <-done, ErrGone)
		after, err := h.TokenDevice(ctx, token)
		want(t, err, nil)
		if after.Session != before.Session {
			t.Errorf("number of the device's session = %d after a login of a client that is gone, want still %d", after.Session, before.Session)
		}
	})
}

// A transaction that has locked a device's row, such as one of a node that is frozen
// while it writes cursors, delays no other user's login by token. The device itself logs
// in when the lock is released.
func TestStartSessionsWhileDeviceIsLocked(t *testing.T) {
	h := newHarness(t, Options{DB: dialects[1].url(t)})
	u := h.users(20)
	for _, id := range u {
		_, err := h.logIn(id, "phone", fmt.Append(nil, id), 8)
		want(t, err, nil)
	}
	tx := mustBegin(t, h)
	defer tx.Rollback()
	_, err := tx.Exec(h.d.raiseUsed(3), u[0], "phone", 2e12, u[1], "phone", 2e12, u[2], "phone", 2e12) // more than maxAlone
	want(t, err, nil)
	type result struct {
		user int64
		err  error
	}
	locked := make(chan result, 3)
	for _, id := range u[:3] {
		h.StartSession(fmt.Append(nil, id), connected, anyUser, func(_ Started, err error) { locked <- result{id, err} })
	}
	free := make(chan result, len(u))
	for _, id := range u[3:] {
		h.StartSession(fmt.Append(nil, id), connected, anyUser, func(_ Started, err error) { free <- result{id, err} })
	}
	for range u[3:] {
		select {
		case r := <-free:
			if r.err != nil {
				t.Errorf("login of user %d while the devices of others are locked: error %v, want none", r.user, r.err)
			}
		case r := <-locked:
			t.Fatalf("login of user %d ended with error %v while the device is locked and others wait, want the others first", r.user, r.err)
		}
	}
	want(t, tx.Commit(), nil)
	for range u[:3] {
		if r := <-locked; r.err != nil {
			t.Errorf("login of user %d, whose device was locked: error %v, want none", r.user, r.err)
		}
	}
}

// A login by token fails if the token is ended by a transaction that has locked the
// device's row when the login finds the token.
func TestStartSessionsWhileTokenEnds(t *testing.T) {
	h := newHarness(t, Options{DB: dialects[1].url(t)})
	u := h.users(2)
	for _, id := range u {
		_, err := h.logIn(id, "phone", fmt.Append(nil, id), 8)
		want(t, err, nil)
	}
	for i, change := range []string{`UPDATE devices SET token_hash = 'x' WHERE user_id = ?`, `DELETE FROM devices WHERE user_id = ?`} {
		tx := mustBegin(t, h)
		defer tx.Rollback()
		_, err := tx.Exec(change, u[i])
		want(t, err, nil)
		done := make(chan error, 1)
		tried := make(chan struct{}, 100)
		gone := func() bool { // called when the token was found and the rows were to be locked
			select {
			case tried <- struct{}{}:
			default:
			}
			return false
		}
		h.StartSession(fmt.Append(nil, u[i]), gone, anyUser, func(_ Started, err error) { done <- err })
		<-tried
		want(t, tx.Commit(), nil)
		want(t, <-done, ErrNotFound)
	}
}

// A login that allow refuses changes nothing, and the others of the batch start.
func TestStartSessionRefused(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		for _, id := range u {
			_, err := h.logIn(id, "phone", fmt.Append(nil, id), 8)
			want(t, err, nil)
		}
		refused := errors.New("refused")
		done := make(chan error, len(u))
		for _, id := range u {
			h.StartSession(fmt.Append(nil, id), connected, func(user int64) error {
				if user == u[0] {
					return refused
				}
				return nil
			}, func(st Started, err error) {
				if id == u[0] {
					if !errors.Is(err, refused) {
						err = fmt.Errorf("error %w, want that of allow", err)
					} else {
						err = nil
					}
				} else if err == nil && st != (Started{User: id, Name: "user1", Device: "phone", Number: 2}) {
					err = fmt.Errorf("got %+v, want session 2 of user %d", st, id)
				}
				done <- err
			})
		}
		for range u {
			want(t, <-done, nil)
		}
		found, err := h.TokenDevice(ctx, fmt.Append(nil, u[0]))
		want(t, err, nil)
		if found.Session != 1 {
			t.Errorf("number of the device's session = %d after a refused login, want still 1", found.Session)
		}
	})
}

// The login by password of a client that has disconnected ends no session and no token,
// whether it disconnects before the login reads the database or while it waits for the
// lock of the user's row.
func TestOpenDeviceOfGoneClient(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(1)[0]
		had := make(map[string]Token)
		for _, device := range []string{"phone", "pad"} {
			_, err := h.logIn(u, device, []byte(device), 2)
			want(t, err, nil)
			had[device], err = h.TokenDevice(ctx, []byte(device))
			want(t, err, nil)
		}
		user, err := h.UserByID(ctx, u)
		want(t, err, nil)
		f := follow(t, h)
		for _, device := range []string{"phone", "a new one"} {
			for stays := range 2 { // how many checks find the client connected
				checks := 0
				_, _, _, err := h.OpenDevice(ctx, user, device, []byte("late"), 2, func() bool {
					checks++
					return checks > stays
				})
				want(t, err, ErrGone)
				for d, token := range had {
					if now, err := h.TokenDevice(ctx, []byte(d)); err != nil || now != token {
						t.Errorf("login of %s, whose client was gone at check %d: the token of %s is %+v (error %v), want still %+v", device, stays+1, d, now, err, token)
					}
				}
				if all := f.ended(); len(all) > 0 {
					t.Errorf("login of %s, whose client was gone at check %d: it ended %+v, want nothing", device, stays+1, all)
				}
			}
		}
		_, err = h.TokenDevice(ctx, []byte("late"))
		want(t, err, ErrNotFound)
	})
}
