package tui

import (
	"testing"

	"chatd/proto"
)

// If the server wants an invitation code to register, the form shows a field for it, and
// keeps what the user has typed. A wrong code is shown as such.
func TestInvitationCode(t *testing.T) {
	m := still(t)
	m.askLogin(true, "")
	for i, v := range []string{"zoe", "secret-1", "secret-1"} {
		m.loginForm.Fields[i].Set(v)
	}
	refused := loginDone{err: proto.Errorf(proto.NotFound, "registration needs an invitation code")}
	m.onLoginDone(refused)
	f := m.loginForm
	if len(f.Fields) != 4 || f.Focus != 3 || f.Value(0) != "zoe" || f.Value(1) != "secret-1" || f.Value(2) != "secret-1" {
		t.Fatalf("the form has %d fields, focus %d and name %q; want 4, the focus on the code, and what was typed", len(f.Fields), f.Focus, f.Value(0))
	}
	if want := "Enter an invitation code"; f.Problem != want {
		t.Errorf("the problem is %q, want %q", f.Problem, want)
	}
	m.cfg.Code = "WRONG"
	m.onLoginDone(refused)
	if want := "This invitation code is wrong, used up or expired"; m.loginForm.Problem != want || m.loginForm.Value(3) != "WRONG" {
		t.Errorf("after a wrong code, the problem is %q and the code %q, want %q and the code", m.loginForm.Problem, m.loginForm.Value(3), want)
	}
}
