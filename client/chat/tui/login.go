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
	if m.loginForm != nil {
		name = m.loginForm.value(0)
	}
	m.registering = register
	if register {
		m.loginForm = newForm(m.ruler, "A new user", "Register", "I have a name already", "Name", "Password", "Password again")
	} else {
		m.loginForm = newForm(m.ruler, "chatd", "Log in", "Register a new user", "Name", "Password")
	}
	m.loginForm.subtitle = m.cfg.Server
	m.loginForm.problem = bad
	m.loginForm.fields[0].set(name)
	if name != "" {
		m.loginForm.focus = 1
	}
}

// loginDone is the end of an attempt to log in.
type loginDone struct{ err error }

// saved reports whether there is a token of that user, or, without a name, of
// anybody.
func (m *model) hasSavedLogin(name string) bool {
	id, known := m.c.Me()
	return m.c.Token() != "" && (name == "" || strings.EqualFold(name, known) || name == strconv.FormatInt(id, 10))
}

// resume logs in with the saved token.
func (m *model) resume() tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, requestTimeout)
		defer cancel()
		return loginDone{m.c.Resume(ctx)}
	}
}

// signIn logs in, and registers before where the form is for that.
func (m *model) signIn(name, password string) tea.Cmd {
	m.loginForm.busy, m.loginForm.problem = true, ""
	m.loginForm.progress = "logging in …"
	register := m.registering
	if register {
		m.loginForm.progress = "registering …"
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, requestTimeout)
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
	return m.loginAction(m.loginForm.handleKey(k))
}

func (m *model) loginAction(a formAction) tea.Cmd {
	f := m.loginForm
	switch a {
	case formOther:
		m.askLogin(!m.registering, "")
	case formSubmit:
		name, password := f.value(0), f.value(1)
		switch {
		case name == "":
			f.problem, f.focus = "the name is missing", 0
		case password == "" && !m.registering && m.hasSavedLogin(name):
			f.busy, f.problem, f.progress = true, "", "logging in …"
			return m.resume()
		case password == "":
			f.problem, f.focus = "the password is missing", 1
		case m.registering && f.value(2) != password:
			f.problem, f.focus = "the two passwords are not the same", 2
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
	if m.loginForm == nil {
		return nil
	}
	m.loginForm.busy, m.loginForm.progress = false, ""
	if d.err == nil {
		return m.onLoggedIn()
	}
	if !errors.Is(d.err, context.Canceled) {
		m.loginForm.problem = errorText(d.err)
	}
	m.loginForm.fields[1].set("")
	if len(m.loginForm.fields) > 2 {
		m.loginForm.fields[2].set("")
	}
	if m.loginForm.focus = 1; m.loginForm.value(0) == "" {
		m.loginForm.focus = 0
	}
	return nil
}

// enter begins with a user who has just logged in.
func (m *model) onLoggedIn() tea.Cmd {
	me, name := m.c.Me()
	if me != m.myID {
		m.resetUser()
	}
	m.myID, m.myName = me, name
	m.loginForm, m.registering, m.loggingOut = nil, false, false
	m.state, m.offlineReason = m.c.State(), ""
	m.cfg.Name = name
	m.refreshContacts()
	m.notify("")
	return m.loadConversations()
}

// forgetAll drops all that belongs to a user.
func (m *model) resetUser() {
	m.open, m.overlay, m.passwordForm, m.question, m.search = nil, nil, nil, nil, nil
	clear(m.conversations)
	clear(m.presence)
	clear(m.friends)
	clear(m.names)
	m.convList = conversationList{}
	m.history = inputHistory{}
	m.input.set("")
	m.showList, m.transcriptDirty = true, true
}

// onState follows the connection.
func (m *model) onState(s client.StateChange) tea.Cmd {
	m.state = s.State
	switch {
	case s.State == client.LoggedIn:
		m.offlineReason = ""
		if m.loginForm != nil {
			return nil // loginDone follows
		}
		m.refreshContacts()
		for _, c := range m.conversations {
			c.loading = false
		}
		if m.open != nil && !m.open.loaded {
			return tea.Batch(m.loadConversations(), m.loadPage(pageLast))
		}
		return m.loadConversations()
	case s.State == client.Disconnected && s.Final:
		if m.loginForm == nil && !m.loggingOut {
			m.askLogin(false, errorText(s.Err))
		}
	case s.State == client.Disconnected:
		m.offlineReason, m.retryAt = strings.TrimPrefix(errorText(s.Err), "no connection: "), m.now().Add(s.Retry)
		for _, c := range m.conversations {
			clear(c.typing)
		}
	}
	return nil
}
