package model

import "testing"

func TestAppendSmoke(t *testing.T) {
	each(t, func(t *testing.T, h *harness) {
		u := h.users(2)
		a := toPeer(u[0], u[1], "one")
		h.store(a)
		if a.Err != nil || a.Seq != 1 || !a.Stored || a.Last != 1 {
			t.Fatalf("%+v", a)
		}
		if l := h.log(a.Conv); len(l) != 1 || string(l[0].Body) != "body of one" || l[0].Name != "user0" {
			t.Fatalf("%+v", l)
		}
	})
}
