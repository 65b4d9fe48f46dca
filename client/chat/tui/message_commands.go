package tui

import (
	"context"
	"slices"

	tea "charm.land/bubbletea/v2"
)

func (m *model) cmdRead(args []string) tea.Cmd {
	c := m.open
	if len(args) > 0 {
		i := slices.IndexFunc(m.convList.items, func(c *conversation) bool { return c.name == args[0] })
		if i < 0 {
			m.notifyError("No chat named " + args[0])
			return nil
		}
		c = m.convList.items[i]
	}
	if c == nil {
		m.notifyError("Which chat? Open it first, or give its name: /read NAME")
		return nil
	}
	id, last := c.id, c.last
	c.read = last
	if c.loaded || last == 0 {
		m.c.MarkRead(id, last)
		return nil
	}
	// MarkRead covers only received messages, so fetch the last one.
	return m.request(func(ctx context.Context) requestDone {
		if _, err := m.c.History(ctx, id, 0, 1); err != nil {
			return requestDone{err: err}
		}
		m.c.MarkRead(id, last)
		return requestDone{}
	})
}

func (m *model) cmdRetry([]string) tea.Cmd { return m.takeFailed(true) }

func (m *model) cmdDiscard([]string) tea.Cmd { return m.takeFailed(false) }

// takeFailed removes the failed messages from the open conversation, and
// resends them if resend is set.
func (m *model) takeFailed(resend bool) tea.Cmd {
	if m.open == nil {
		m.notifyError("Open a chat first")
		return nil
	}
	var failed []*message
	m.open.messages = slices.DeleteFunc(m.open.messages, func(msg *message) bool {
		if msg.failure != "" {
			failed = append(failed, msg)
			m.open.bytes -= len(msg.text)
		}
		return msg.failure != ""
	})
	m.messagesChanged(m.open)
	if len(failed) == 0 {
		m.notify("No failed messages in this chat")
	}
	for _, msg := range failed {
		if !resend {
			continue
		}
		if err := m.send(m.open, msg.text); err != nil {
			m.notifyError(errorText(err))
		}
	}
	return nil
}
