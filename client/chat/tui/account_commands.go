package tui

import (
	"context"

	"chatd/client/chat/widget"

	tea "charm.land/bubbletea/v2"
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
				if err != nil {
					bad = "logged out here, but the server could not be told: " + errorText(err)
				}
				m.askLogin(false, bad)
				return nil
			}}
		})
	}
	if m.pendingCount() > 0 {
		return m.confirm("Messages are not sent yet, and would be dropped. Log out?", out)
	}
	return out()
}

func (m *model) cmdQuit([]string) tea.Cmd { return m.quit() }

func (m *model) cmdPasswd([]string) tea.Cmd {
	m.overlay = nil
	m.passwordForm = widget.NewForm(m.ruler, "Change the password", "Change it", "", "Old password", "New password", "New password again")
	m.passwordForm.Subtitle = "Other devices are logged out. Esc: leave it."
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
		case old == "" || fresh == "":
			f.Problem = "the password is missing"
		case f.Value(2) != fresh:
			f.Problem, f.Focus = "the two new passwords are not the same", 2
		default:
			f.Busy, f.Problem = true, ""
			return m.request(func(ctx context.Context) requestDone {
				err := m.c.ChangePassword(ctx, old, fresh)
				return requestDone{then: func(m *model) tea.Cmd {
					if err != nil {
						f.Busy, f.Problem = false, errorText(err)
						return nil
					}
					m.passwordForm = nil
					m.notify("the password is changed; other devices are logged out")
					return nil
				}}
			})
		}
	}
	return nil
}
