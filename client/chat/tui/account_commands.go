package tui

import (
	"context"
	"errors"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/client/chat/widget"
	"chatd/proto"
)

func (m *model) cmdLogOut([]string) tea.Cmd {
	out := func() tea.Cmd {
		m.loggingOut = true
		return m.request(func(ctx context.Context) requestDone {
			err := m.c.Logout(ctx)
			return requestDone{then: func(m *model) tea.Cmd {
				m.resetUser()
				m.myID = 0
				bad := ""
				switch {
				case errors.Is(err, client.ErrNotConnected), errors.Is(err, context.DeadlineExceeded):
					bad = "Logged out here, but the server couldn't be reached and may still accept this login. To revoke it, change your password"
				case err != nil:
					bad = "Logged out. " + errorText(err)
				}
				m.askLogin(false, bad)
				return nil
			}}
		})
	}
	if n := m.pendingCount(); n > 0 {
		return m.confirm(plural(int64(n), "unsent message")+" will be lost. Log out anyway?", out)
	}
	return out()
}

func (m *model) cmdQuit([]string) tea.Cmd { return m.quit() }

func (m *model) cmdPasswd([]string) tea.Cmd {
	m.overlay = nil
	m.passwordForm = widget.NewForm(m.ruler, "Change password", "Change password", "", "Current password", "New password", "Confirm password")
	m.passwordForm.Subtitle = "Logs out your other devices. Esc: cancel"
	return nil
}

func (m *model) passwdKey(k tea.KeyPressMsg) tea.Cmd {
	return m.passwdAction(m.passwordForm.HandleKey(k))
}

func (m *model) passwdAction(a widget.FormAction) tea.Cmd {
	f := m.passwordForm
	switch a {
	case widget.FormCancel:
		m.passwordForm = nil
	case widget.FormSubmit:
		old, fresh := f.Value(0), f.Value(1)
		switch {
		case old == "":
			f.Problem, f.Focus = "Enter your current password", 0
		case fresh == "":
			f.Problem, f.Focus = "Enter a new password", 1
		case f.Value(2) != fresh:
			f.Problem, f.Focus = "Passwords don't match", 2
		default:
			f.Busy, f.Problem = true, ""
			return m.request(func(ctx context.Context) requestDone {
				err := explain(m.c.ChangePassword(ctx, old, fresh), proto.Refused, "incorrect current password")
				return requestDone{then: func(m *model) tea.Cmd {
					if err != nil {
						f.Busy, f.Problem = false, errorText(err)
						return nil
					}
					m.passwordForm = nil
					m.notify("Password changed. Your other devices were logged out")
					return nil
				}}
			})
		}
	}
	return nil
}
