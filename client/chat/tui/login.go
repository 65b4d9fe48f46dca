package tui

import (
	"context"
	"errors"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
)

// askLogin shows the form to log in, or to register.
func (m *model) askLogin(register bool, bad string) {
	name := m.cfg.Name
	if m.login != nil {
		name = m.login.value(0)
	}
	m.register = register
	if register {
		m.login = newForm(m.ruler, "A new user", "Register", "I have a name already", "Name", "Password", "Password again")
	} else {
		m.login = newForm(m.ruler, "chatd", "Log in", "Register a new user", "Name", "Password")
	}
	m.login.under = m.cfg.Server
	m.login.bad = bad
	m.login.fields[0].set(name)
	if name != "" {
		m.login.focus = 1
	}
}

// loginDone is the end of an attempt to log in.
type loginDone struct{ err error }

// saved reports whether there is a token of that user, or, without a name, of
// anybody.
func (m *model) saved(name string) bool {
	id, known := m.c.Me()
	return m.c.Token() != "" && (name == "" || strings.EqualFold(name, known) || name == strconv.FormatInt(id, 10))
}

// resume logs in with the saved token.
func (m *model) resume() tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, patience)
		defer cancel()
		return loginDone{m.c.Resume(ctx)}
	}
}

// signIn logs in, and registers before where the form is for that.
func (m *model) signIn(name, password string) tea.Cmd {
	m.login.busy, m.login.bad = true, ""
	m.login.note = "logging in …"
	register := m.register
	if register {
		m.login.note = "registering …"
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, patience)
		defer cancel()
		if register {
			if _, err := m.c.Register(ctx, name, password); err != nil {
				return loginDone{err}
			}
		}
		return loginDone{m.c.Login(ctx, name, password)}
	}
}

// loginKey is a key while one isn't logged in.
func (m *model) loginKey(k tea.KeyPressMsg) tea.Cmd {
	return m.loginAction(m.login.key(k))
}

func (m *model) loginAction(a formAction) tea.Cmd {
	f := m.login
	switch a {
	case formOther:
		m.askLogin(!m.register, "")
	case formSubmit:
		name, password := f.value(0), f.value(1)
		switch {
		case name == "":
			f.bad, f.focus = "the name is missing", 0
		case password == "" && !m.register && m.saved(name):
			f.busy, f.bad, f.note = true, "", "logging in …"
			return m.resume()
		case password == "":
			f.bad, f.focus = "the password is missing", 1
		case m.register && f.value(2) != password:
			f.bad, f.focus = "the two passwords are not the same", 2
			f.fields[2].set("")
		default:
			return m.signIn(name, password)
		}
	}
	return nil
}

// onLoginDone shows what went wrong; what went well is told by the client's
// state.
func (m *model) onLoginDone(d loginDone) tea.Cmd {
	if m.login == nil {
		return nil
	}
	m.login.busy, m.login.note = false, ""
	if d.err == nil {
		return m.enter()
	}
	if !errors.Is(d.err, context.Canceled) {
		m.login.bad = told(d.err)
	}
	m.login.fields[1].set("")
	if len(m.login.fields) > 2 {
		m.login.fields[2].set("")
	}
	if m.login.focus = 1; m.login.value(0) == "" {
		m.login.focus = 0
	}
	return nil
}

// enter begins with a user who has just logged in.
func (m *model) enter() tea.Cmd {
	me, name := m.c.Me()
	if me != m.me {
		m.forgetAll()
	}
	m.me, m.name = me, name
	m.login, m.register, m.loggingOut = nil, false, false
	m.state, m.why = m.c.State(), ""
	m.cfg.Name = name
	m.refresh()
	m.say("")
	return m.list()
}

// forgetAll drops all that belongs to a user.
func (m *model) forgetAll() {
	m.open, m.sheet, m.passwd, m.ask, m.search = nil, nil, nil, nil, nil
	clear(m.convs)
	clear(m.present)
	clear(m.friends)
	clear(m.people)
	m.roster = roster{}
	m.recall = recall{}
	m.input.set("")
	m.listView, m.stale = true, true
}

// onState follows the connection.
func (m *model) onState(s client.StateChange) tea.Cmd {
	m.state = s.State
	switch {
	case s.State == client.LoggedIn:
		m.why = ""
		if m.login != nil {
			return nil // loginDone follows
		}
		m.refresh()
		for _, c := range m.convs {
			c.loading = false
		}
		if m.open != nil && !m.open.loaded {
			return tea.Batch(m.list(), m.load(wayLast))
		}
		return m.list()
	case s.State == client.Disconnected && s.Final:
		if m.login == nil && !m.loggingOut {
			m.askLogin(false, told(s.Err))
		}
	case s.State == client.Disconnected:
		m.why, m.retryAt = strings.TrimPrefix(told(s.Err), "no connection: "), m.now().Add(s.Retry)
		for _, c := range m.convs {
			clear(c.typing)
		}
	}
	return nil
}
