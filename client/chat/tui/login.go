package tui

import (
	"context"
	"errors"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/client/chat/widget"
	"chatd/proto"
)

// askLogin shows the form for logging in or registering. problem is shown in
// it, and may be empty.
func (m *model) askLogin(register bool, problem string) {
	name := m.cfg.Name
	if m.loginForm != nil {
		name = m.loginForm.Value(0)
	}
	m.registering = register
	if register {
		labels := []string{"Username", "Password", "Confirm password"}
		if m.needsCode {
			labels = append(labels, "Invitation code")
		}
		m.loginForm = widget.NewForm(m.ruler, "Register", "Register", "Log in with an existing account", labels...)
		if m.needsCode {
			m.loginForm.Fields[3].Set(m.cfg.Code)
		}
	} else {
		m.loginForm = widget.NewForm(m.ruler, "chatd", "Log in", "Register a new account", "Username or ID", "Password")
	}
	m.loginForm.Subtitle = m.cfg.Server
	m.loginForm.Problem = problem
	m.loginForm.Fields[0].Set(name)
	if name != "" {
		m.loginForm.Focus = 1
	}
}

// loginDone is the result of a login or registration.
type loginDone struct {
	err     error
	refusal string // what to show instead of the server's refusal
}

// hasSavedLogin reports whether there is a token for this user (a name or ID),
// or for any user if name is empty.
func (m *model) hasSavedLogin(name string) bool {
	id, known := m.c.Me()
	return m.c.Token() != "" && (name == "" || strings.EqualFold(name, known) || name == strconv.FormatInt(id, 10))
}

// resume logs in with the saved token.
func (m *model) resume() tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, requestTimeout)
		defer cancel()
		return loginDone{m.c.Resume(ctx), "You've been logged out. Enter your password"}
	}
}

// signIn logs in. In the registration form it registers first.
func (m *model) signIn(name, password, code string) tea.Cmd {
	m.loginForm.Busy, m.loginForm.Problem = true, ""
	m.loginForm.Progress = "Logging in…"
	register := m.registering
	if register {
		m.loginForm.Progress = "Registering…"
	}
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, requestTimeout)
		defer cancel()
		if register {
			if _, err := m.c.RegisterWithCode(ctx, name, password, code); err != nil {
				return loginDone{err, "This username is taken"}
			}
		}
		return loginDone{m.c.Login(ctx, name, password), "Incorrect username, ID or password"}
	}
}

// loginKey handles a key in the login form.
func (m *model) loginKey(k tea.KeyPressMsg) tea.Cmd {
	return m.loginAction(m.loginForm.HandleKey(k))
}

func (m *model) loginAction(a widget.FormAction) tea.Cmd {
	f := m.loginForm
	switch a {
	case widget.FormOther:
		m.askLogin(!m.registering, "")
	case widget.FormSubmit:
		name, password := f.Value(0), f.Value(1)
		switch {
		case name == "":
			f.Problem, f.Focus = "Enter your username or ID", 0
			if m.registering {
				f.Problem = "Enter a username"
			}
		case password == "" && !m.registering && m.hasSavedLogin(name):
			f.Busy, f.Problem, f.Progress = true, "", "Logging in…"
			return m.resume()
		case password == "":
			f.Problem, f.Focus = "Enter your password", 1
			if m.registering {
				f.Problem = "Enter a password"
			}
		case m.registering && f.Value(2) != password:
			f.Problem, f.Focus = "Passwords don't match", 2
			f.Fields[2].Set("")
		case m.registering && len(f.Fields) > 3:
			m.cfg.Code = strings.TrimSpace(f.Value(3))
			return m.signIn(name, password, m.cfg.Code)
		default:
			return m.signIn(name, password, m.cfg.Code)
		}
	}
	return nil
}

// onLoginDone shows an error or opens the chat.
func (m *model) onLoginDone(d loginDone) tea.Cmd {
	if m.loginForm == nil {
		return nil
	}
	m.loginForm.Busy, m.loginForm.Progress = false, ""
	if d.err == nil {
		return m.onLoggedIn()
	}
	refused := new(proto.Error)
	errors.As(d.err, &refused)
	if m.registering && refused.Errno == proto.NotFound {
		m.askCode()
		return nil
	}
	if refused.Errno == proto.Refused {
		m.loginForm.Problem = d.refusal
	} else if !errors.Is(d.err, context.Canceled) {
		m.loginForm.Problem = errorText(d.err)
	}
	m.loginForm.Fields[1].Set("")
	if len(m.loginForm.Fields) > 2 {
		m.loginForm.Fields[2].Set("")
	}
	if m.loginForm.Focus = 1; m.loginForm.Value(0) == "" {
		m.loginForm.Focus = 0
	}
	return nil
}

// askCode shows the form for registering again, with a field for the invitation code,
// because the server needs one or has refused it.
func (m *model) askCode() {
	problem := "Enter an invitation code"
	if m.cfg.Code != "" {
		problem = "This invitation code is wrong, used up or expired"
	}
	was := m.loginForm
	m.needsCode = true
	m.askLogin(true, problem)
	for i := 0; i < 3 && i < len(was.Fields); i++ {
		m.loginForm.Fields[i].Set(was.Value(i))
	}
	m.loginForm.Focus = 3
}

// onLoggedIn shows the chat after a login.
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

// resetUser clears everything that belongs to the current user.
func (m *model) resetUser() {
	m.open, m.overlay, m.passwordForm, m.question, m.search = nil, nil, nil, nil, nil
	clear(m.conversations)
	clear(m.presence)
	clear(m.friends)
	clear(m.names)
	m.convList = conversationList{}
	m.history = widget.InputHistory{}
	m.input.Set("")
	m.showList, m.transcriptDirty = true, true
}

// onState handles a new state of the connection.
func (m *model) onState(s client.StateChange) tea.Cmd {
	m.state = s.State
	switch {
	case s.State == client.LoggedIn:
		m.offlineReason = ""
		if m.loginForm != nil {
			return nil // loginDone will follow
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
		m.offlineReason, m.retryAt = strings.TrimPrefix(errorText(s.Err), notConnected), m.now().Add(s.Retry)
		for _, c := range m.conversations {
			clear(c.typing)
		}
	}
	return nil
}
