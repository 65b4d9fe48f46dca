package tui

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client"
	"chatd/client/chat/widget"
	"chatd/proto"
)

// requestDone is the result of a request.
type requestDone struct {
	err    error
	notice string                 // shown if err is nil; may be empty
	then   func(m *model) tea.Cmd // called if err is nil; may be nil
}

// request runs f in a goroutine of its own, so f must not use the model.
func (m *model) request(f func(ctx context.Context) requestDone) tea.Cmd {
	return func() tea.Msg {
		ctx, cancel := context.WithTimeout(m.ctx, requestTimeout)
		defer cancel()
		return f(ctx)
	}
}

func (m *model) onDone(d requestDone) tea.Cmd {
	if d.err != nil {
		if m.ctx.Err() == nil {
			m.notifyError(errorText(d.err))
		}
		return nil
	}
	if m.loginForm == nil {
		m.refreshContacts()
	}
	if d.notice != "" {
		m.notify(d.notice)
	}
	if d.then != nil {
		return d.then(m)
	}
	return nil
}

// explain returns an error with this text if err is a refusal with errno,
// otherwise err. The text can name users and groups; the server's message has
// only IDs.
func explain(err error, errno proto.Errno, format string, args ...any) error {
	if refused := new(proto.Error); errors.As(err, &refused) && refused.Errno == errno {
		return fmt.Errorf(format, args...)
	}
	return err
}

// send sends a message. It doesn't block: without a connection, the client
// queues the message.
func (m *model) send(c *conversation, s string) error {
	if c.notMember {
		return errors.New("you are no longer a member of this group")
	}
	m.lastLocalID++
	id, local := c.id, m.lastLocalID
	err := m.c.SendAsync(id, s, func(r client.Receipt, err error) { m.mailbox.putNow(sendResult{id, local, r, err}) })
	if err != nil {
		return err
	}
	c.addPending(local, m.myID, m.myName, s, m.now())
	m.messagesChanged(c)
	m.convList.update(m.conversations)
	return nil
}

// findUser finds a user by name or ID, friends first. It may wait for the
// server. Any goroutine may call it.
func findUser(ctx context.Context, c *client.Client, s string) (proto.Friend, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	for _, f := range c.Friends() {
		if err == nil && f.ID == id || err != nil && f.Name == s {
			return f, nil
		}
	}
	f, err := c.FindUser(ctx, s)
	if id != 0 {
		return f, explain(err, proto.NotFound, "no user with ID %d", id)
	}
	return f, explain(err, proto.NotFound, "no user named %q", s)
}

// group finds one of the user's groups by its name, its ID, or g and its ID, as
// in g5.
func (m *model) group(s string) (proto.Group, error) {
	id, err := strconv.ParseInt(strings.TrimPrefix(s, "g"), 10, 64)
	var found []proto.Group
	for _, g := range m.c.Groups() {
		if err == nil && g.ID == id || g.GroupName == s {
			found = append(found, g)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return proto.Group{}, fmt.Errorf("%d groups are named %q. Use the group ID, such as g%d", len(found), s, found[0].ID)
	}
	return proto.Group{}, fmt.Errorf("you're not in a group named %q", s)
}

// groupArg returns the group named by an argument, or the open one.
func (m *model) groupArg(args []string, i int) (proto.Group, error) {
	if i < len(args) && args[i] != "" {
		return m.group(args[i])
	}
	if m.open != nil && m.open.id.Group != 0 {
		return m.group("g" + strconv.FormatInt(m.open.id.Group, 10))
	}
	return proto.Group{}, errors.New("which group? Open it first, or give its name after the command")
}

// withUser calls f with the user in the first argument, or with the open
// conversation's peer. f runs as in request.
func (m *model) withUser(args []string, f func(ctx context.Context, u proto.Friend) requestDone) tea.Cmd {
	var who string
	switch {
	case len(args) > 0:
		who = args[0]
	case m.open != nil && m.open.id.Peer != 0:
		who = strconv.FormatInt(m.open.id.Peer, 10)
	default:
		m.notifyError("Which user? Open their chat first, or give a name after the command")
		return nil
	}
	return m.request(func(ctx context.Context) requestDone {
		u, err := findUser(ctx, m.c, who)
		if err != nil {
			return requestDone{err: err}
		}
		return f(ctx, u)
	})
}

// withGroup calls f with the group in argument i, or with the open group. f
// runs as in request.
func (m *model) withGroup(args []string, i int, f func(ctx context.Context, g proto.Group) requestDone) tea.Cmd {
	g, err := m.groupArg(args, i)
	if err != nil {
		m.notifyError(errorText(err))
		return nil
	}
	return m.request(func(ctx context.Context) requestDone { return f(ctx, g) })
}

// confirm asks a question and calls yes if the answer is y.
func (m *model) confirm(words string, yes func() tea.Cmd) tea.Cmd {
	m.question = &question{words + " (y/n)", yes}
	return nil
}

func showOverlay(s *widget.Overlay) func(m *model) tea.Cmd {
	return func(m *model) tea.Cmd {
		m.overlay = s
		return nil
	}
}
