package tui

import (
	"context"

	tea "charm.land/bubbletea/v2"
)

func (m *model) cmdLogOut([]string) tea.Cmd {
	out := func() tea.Cmd {
		m.loggingOut = true
		return m.request(func(ctx context.Context) done {
			err := m.c.Logout(ctx)
			return done{then: func(m *model) tea.Cmd {
				m.forgetAll()
				m.me = 0
				bad := ""
				if err != nil {
					bad = "logged out here, but the server could not be told: " + told(err)
				}
				m.askLogin(false, bad)
				return nil
			}}
		})
	}
	if m.waiting() > 0 {
		return m.sure("Messages are not sent yet, and would be dropped. Log out?", out)
	}
	return out()
}

func (m *model) cmdQuit([]string) tea.Cmd { return m.quit() }

func (m *model) cmdPasswd([]string) tea.Cmd {
	m.sheet = nil
	m.passwd = newForm(m.ruler, "Change the password", "Change it", "", "Old password", "New password", "New password again")
	m.passwd.under = "Other devices are logged out. Esc: leave it."
	return nil
}

func (m *model) passwdKey(k tea.KeyPressMsg) tea.Cmd { return m.passwdAction(m.passwd.key(k)) }

func (m *model) passwdAction(a formAction) tea.Cmd {
	f := m.passwd
	switch a {
	case formCancel:
		m.passwd = nil
	case formSubmit:
		old, fresh := f.value(0), f.value(1)
		switch {
		case old == "" || fresh == "":
			f.bad = "the password is missing"
		case f.value(2) != fresh:
			f.bad, f.focus = "the two new passwords are not the same", 2
		default:
			f.busy, f.bad = true, ""
			return m.request(func(ctx context.Context) done {
				err := m.c.ChangePassword(ctx, old, fresh)
				return done{then: func(m *model) tea.Cmd {
					if err != nil {
						f.busy, f.bad = false, told(err)
						return nil
					}
					m.passwd = nil
					m.say("the password is changed; other devices are logged out")
					return nil
				}}
			})
		}
	}
	return nil
}
