package model

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A copy in another kind of database has the same ids, epoch, tokens, names,
// cursors and logs, and goes on where the first one ended.
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
				want(t, from.Block(ctx, u[2], u[3], true), nil)
				want(t, from.DeleteUser(ctx, gone), nil)
				want(t, from.Ban(ctx, u[4], true), nil)
				from.device(u[0], "Phone ☎")
				var batch []*Append
				said := int64(0) // in the group
				for i := range 5000 {
					a := toGroup(u[i%3], g, fmt.Sprintf("cid\x00 %d", i))
					if i%5 == 0 {
						a = toPeer(u[0], odd, fmt.Sprint(i))
					}
					if i%1000 == 0 {
						a.Body = bytes.Repeat([]byte{0, 0xff, '\'', '\\'}, 8<<10)
					}
					if a.Group == g {
						said++
					}
					batch = append(batch, a)
				}
				from.store(batch...)
				from.SetDelivered(u[0], "Phone ☎", g, 17)
				from.SetRead(u[0], g, 16)
				want(t, from.Flush(ctx, u[0]), nil)

				told := int64(0)
				want(t, CopyStore(ctx, from.DB, to.DB, func(table string, rows int64) {
					if table == "messages" {
						told = rows
					}
				}), nil)
				if told != int64(len(batch)) || to.Epoch() != from.Epoch() {
					t.Errorf("%d messages, epoch %d, want %d", told, to.Epoch(), from.Epoch())
				}
				to.reopen()
				if to.Epoch() != from.Epoch() {
					t.Error("the epoch wasn't stored")
				}
				checkCopied(t, from, to, u, odd, batch[0].Conv, g)
				repeat, next := toGroup(u[1], g, "cid\x00 1"), toGroup(u[1], g, "next")
				to.store(repeat, next)
				if repeat.Stored || repeat.Seq != batch[1].Seq || next.Seq != said+1 {
					t.Errorf("%+v %+v", repeat, next)
				}
				if id := to.user("later"); id <= gone {
					t.Errorf("id %d was given before", id)
				}
				err = CopyStore(ctx, from.DB, to.DB, nil)
				if err == nil || !strings.Contains(err.Error(), "isn't empty") {
					t.Error(err)
				}
			})
		}
	}
}

// checkCopied compares what TestCopy has put into two stores.
func checkCopied(t *testing.T, from, to *harness, u []int64, odd int64, convs ...int64) {
	t.Helper()
	for _, h := range []*harness{from, to} {
		user, device, err := h.TokenDevice(ctx, fmt.Append(nil, u[0], "Phone ☎"))
		want(t, err, nil)
		if user.ID != u[0] || device != "Phone ☎" {
			t.Errorf("the token is of user %d, device %q, want %d, Phone ☎", user.ID, device, u[0])
		}
		if x, err := h.UserByNameKey(ctx, "ämil 你好"); err != nil || x != (User{ID: odd, Name: "Ämil 你好", Hash: "$argon2id$…"}) {
			t.Errorf("by name: %+v (%v), want user %d", x, err, odd)
		}
		if b, err := h.Blocked(ctx, u[2], u[3]); err != nil || !b {
			t.Errorf("blocked: %t (%v), want true", b, err)
		}
		if p := h.places(u[0], "Phone ☎"); len(p) != 2 || p[0].Delivered != 17 || p[0].Read != 16 {
			t.Errorf("memberships %+v, want two, the first delivered to 17 and read to 16", p)
		}
	}
	for _, conv := range convs {
		a, b := from.log(conv), gapless(t, to, conv)
		if !slices.EqualFunc(a, b, func(a, b Message) bool {
			return a.Seq == b.Seq && a.Sender == b.Sender && a.Time == b.Time && a.Name == b.Name && bytes.Equal(a.CID, b.CID) && bytes.Equal(a.Body, b.Body)
		}) {
			t.Errorf("the logs of %d differ", conv)
		}
	}
}

// Copy finds out that a log has a gap.
func TestCopyTorn(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		a, b, c := toPeer(u[0], u[1], "a"), toPeer(u[0], u[1], "b"), toPeer(u[0], u[1], "c")
		h.store(a, b, c)
		want(t, checkLogs(ctx, h.DB), nil)
		_, err := h.sql.Writer.Exec(`DELETE FROM messages WHERE seq = 2`)
		want(t, err, nil)
		want(t, checkLogs(ctx, h.DB), errTorn)
		_, err = h.sql.Writer.Exec(`DELETE FROM messages`)
		want(t, err, nil)
		want(t, checkLogs(ctx, h.DB), errTorn)
	})
}
