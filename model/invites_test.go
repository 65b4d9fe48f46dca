package model

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// An invitation can be used as often as it allows, also by users who register at the
// same time, until it expires or is revoked. A registration that fails uses nothing
// up.
func TestInvites(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		two, err := h.CreateInvite(ctx, []byte("code of two"), 2, time.Hour)
		want(t, err, nil)
		revoked, err := h.CreateInvite(ctx, []byte("revoked"), 2, time.Hour)
		want(t, err, nil)
		_, err = h.CreateInvite(ctx, []byte("expired"), 2, -time.Second)
		want(t, err, nil)
		want(t, h.RevokeInvite(ctx, revoked.ID), nil)
		want(t, h.RevokeInvite(ctx, revoked.ID), ErrNoInvite)
		for _, code := range []string{"revoked", "expired", "unknown"} {
			want(t, h.CheckInvite(ctx, []byte(code)), ErrNoInvite)
			_, err := h.CreateInvitedUser(ctx, code, code, "h", []byte(code))
			want(t, err, ErrNoInvite)
			_, err = h.UserByNameKey(ctx, code)
			want(t, err, ErrNotFound)
		}

		want(t, h.CheckInvite(ctx, []byte("code of two")), nil)
		_, err = h.CreateUser(ctx, "ann", "ann", "h")
		want(t, err, nil)
		_, err = h.CreateInvitedUser(ctx, "Ann", "ann", "h", []byte("code of two"))
		want(t, err, ErrTaken)
		if all, err := h.Invites(ctx); err != nil || len(all) != 1 || all[0] != two {
			t.Errorf("Invites = %+v, %v; want only %+v, of which nothing is used up", all, err, two)
		}
		var made atomic.Int32
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				name := fmt.Sprint("user", i)
				if _, err := h.CreateInvitedUser(ctx, name, name, "h", []byte("code of two")); err == nil {
					made.Add(1)
				}
			})
		}
		wg.Wait()
		if made.Load() != 2 {
			t.Errorf("%d users were created with an invitation for 2", made.Load())
		}
		want(t, h.CheckInvite(ctx, []byte("code of two")), ErrNoInvite)
		want(t, h.RevokeInvite(ctx, two.ID), ErrNoInvite)
	})
}
