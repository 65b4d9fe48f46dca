package tui

import (
	"context"

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
	m.passwordForm = newForm(m.ruler, "Change the password", "Change it", "", "Old password", "New password", "New password again")
	m.passwordForm.subtitle = "Other devices are logged out. Esc: leave it."
	return nil
}

func (m *model) passwdKey(k tea.KeyPressMsg) tea.Cmd {
	return m.passwdAction(m.passwordForm.handleKey(k))
}

func (m *model) passwdAction(a formAction) tea.Cmd {
	f := m.passwordForm
	switch a {
	case formCancel:
		m.passwordForm = nil
	case formSubmit:
		old, fresh := f.value(0), f.value(1)
		switch {
		case old == "" || fresh == "":
			f.problem = "the password is missing"
		case f.value(2) != fresh:
			f.problem, f.focus = "the two new passwords are not the same", 2
		default:
			f.busy, f.problem = true, ""
			return m.request(func(ctx context.Context) requestDone {
				err := m.c.ChangePassword(ctx, old, fresh)
				return requestDone{then: func(m *model) tea.Cmd {
					if err != nil {
						f.busy, f.problem = false, errorText(err)
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
