package model

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A copy to the same or another kind of database has the same IDs, epoch, tokens,
// names, cursors and logs. New messages and users continue the numbers.
func TestCopy(t *testing.T) {
	for _, d := range dialects {
		for _, e := range dialects {
			t.Run(d.name+" to "+e.name, func(t *testing.T) {
				from, to := newHarness(t, Options{DB: d.url(t)}), newHarness(t, Options{DB: e.url(t)})
				u := from.users(5)
				odd, err := from.CreateUser(ctx, "Ämil 你好", "ämil 你好", "$argon2id$…")
				want(t, err, nil)
				gone := from.user("gone")
				g := from.group(u...)
				from.group(u[1])
				_, err = from.AddFriend(ctx, u[0], odd, 10)
				want(t, err, nil)
				want(t, block(from, u[2], u[3], true), nil)
				want(t, from.DeleteUser(ctx, gone), nil)
				want(t, from.Ban(ctx, u[4], true), nil)
				from.device(u[0], "Phone ☎")
				var batch []*Append
				inGroup := int64(0) // messages in the group
				for i := range 5000 {
					a := toGroup(u[i%3], g, fmt.Sprintf("cid\x00 %d", i))
					if i%5 == 0 {
						a = toPeer(u[0], odd, fmt.Sprint(i))
					}
					if i%1000 == 0 {
						a.Body = bytes.Repeat([]byte{0, 0xff, '\'', '\\'}, 8<<10)
					}
					if a.Group == g {
						inGroup++
					}
					batch = append(batch, a)
				}
				from.store(batch...)
				from.SetDelivered(u[0], "Phone ☎", g, 17)
				from.SetRead(u[0], g, 16)
				want(t, from.Flush(ctx, u[0]), nil)

				copied := int64(0) // messages, by the progress function
				want(t, CopyStore(ctx, from.DB, to.DB, func(table string, rows int64) {
					if table == "messages" {
						copied = rows
					}
				}), nil)
				if copied != int64(len(batch)) || to.Epoch() != from.Epoch() {
					t.Errorf("copied %d messages with epoch %d, want %d with epoch %d", copied, to.Epoch(), len(batch), from.Epoch())
				}
				to.reopen()
				if to.Epoch() != from.Epoch() {
					t.Errorf("epoch %d after reopening, want %d", to.Epoch(), from.Epoch())
				}
				checkCopied(t, from, to, u, odd, batch[0].Conv, g)
				repeat, next := toGroup(u[1], g, "cid\x00 1"), toGroup(u[1], g, "next")
				to.store(repeat, next)
				if repeat.Stored || repeat.Seq != batch[1].Seq || next.Seq != inGroup+1 {
					t.Errorf("after the copy:\n%s; want a repeat of seq %d\n%s; want seq %d", show(repeat), batch[1].Seq, show(next), inGroup+1)
				}
				if n, err := to.startSession(fmt.Append(nil, u[0], "Phone ☎")); n != 3 || err != nil {
					t.Errorf("the user's next session after the copy has number %d (error %v), want 3", n, err)
				}
				if id := to.user("later"); id <= gone {
					t.Errorf("new user's ID = %d, want above %d, the ID of a deleted user", id, gone)
				}
				err = CopyStore(ctx, from.DB, to.DB, nil)
				if err == nil || !strings.Contains(err.Error(), "isn't empty") {
					t.Errorf("second copy: error %v, want that the target isn't empty", err)
				}
			})
		}
	}
}

// checkCopied checks that both stores have the data of TestCopy.
func checkCopied(t *testing.T, from, to *harness, u []int64, odd int64, convs ...int64) {
	t.Helper()
	for _, h := range []*harness{from, to} {
		token, err := h.TokenDevice(ctx, fmt.Append(nil, u[0], "Phone ☎"))
		want(t, err, nil)
		if token.ID != u[0] || token.Device != "Phone ☎" || token.Session != 2 {
			t.Errorf("TokenDevice = %+v, want user %d, device %q, session 2", token, u[0], "Phone ☎")
		}
		if x, err := h.UserByNameKey(ctx, "ämil 你好"); err != nil || x != (User{ID: odd, Name: "Ämil 你好", Hash: "$argon2id$…"}) {
			t.Errorf("UserByNameKey = %+v (error %v), want user %d", x, err, odd)
		}
		if b, err := h.Blocked(ctx, u[2], u[3]); err != nil || !b {
			t.Errorf("Blocked = %t (error %v), want true", b, err)
		}
		if l := h.memberships(u[0], "Phone ☎"); len(l) != 2 || l[0].Delivered != 17 || l[0].Read != 16 {
			t.Errorf("Memberships = %+v, want two, the first with Delivered 17 and Read 16", l)
		}
	}
	for _, conv := range convs {
		a, b := from.log(conv), gapless(t, to, conv)
		if !slices.EqualFunc(a, b, func(a, b Message) bool {
			return a.Seq == b.Seq && a.Sender == b.Sender && a.Time == b.Time && a.Name == b.Name && bytes.Equal(a.CID, b.CID) && bytes.Equal(a.Body, b.Body)
		}) {
			t.Errorf("conversation %d: the copied log, of %d messages, differs from the original, of %d", conv, len(b), len(a))
		}
	}
}

// checkLogs, which CopyStore runs at the end, finds a log that has a gap.
func TestCheckLogs(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		a, b, c := toPeer(u[0], u[1], "a"), toPeer(u[0], u[1], "b"), toPeer(u[0], u[1], "c")
		h.store(a, b, c)
		if h.folder != nil {
			want(t, h.folder.All(ctx), nil)
		}
		want(t, checkLogs(ctx, h.DB), nil)
		_, err := h.sql.Writer.Exec(`DELETE FROM messages WHERE seq = 2`)
		want(t, err, nil)
		want(t, checkLogs(ctx, h.DB), errTorn)
		_, err = h.sql.Writer.Exec(`DELETE FROM messages`)
		want(t, err, nil)
		want(t, checkLogs(ctx, h.DB), errTorn)
	})
}
