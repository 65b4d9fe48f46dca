package tui

import (
	"context"
	"slices"

	tea "charm.land/bubbletea/v2"
)

func (m *model) cmdRead(args []string) tea.Cmd {
	c := m.open
	if len(args) > 0 {
		i := slices.IndexFunc(m.roster.list, func(c *conversation) bool { return c.name == args[0] })
		if i < 0 {
			m.fail("there is no conversation with " + args[0])
			return nil
		}
		c = m.roster.list[i]
	}
	if c == nil {
		m.fail("say which conversation")
		return nil
	}
	id, last := c.id, c.last
	c.read = last
	if c.loaded || last == 0 {
		m.c.MarkRead(id, last)
		return nil
	}
	// The client marks what it has seen.
	return m.request(func(ctx context.Context) done {
		if _, err := m.c.History(ctx, id, 0, 1); err != nil {
			return done{err: err}
		}
		m.c.MarkRead(id, last)
		return done{}
	})
}

func (m *model) cmdRetry([]string) tea.Cmd { return m.failedAgain(true) }

func (m *model) cmdDiscard([]string) tea.Cmd { return m.failedAgain(false) }

// failedAgain takes what could not be sent out of the open conversation, and
// sends it again.
func (m *model) failedAgain(again bool) tea.Cmd {
	if m.open == nil {
		m.fail("open a conversation first")
		return nil
	}
	var failed []*entry
	m.open.entries = slices.DeleteFunc(m.open.entries, func(e *entry) bool {
		if e.failed != "" {
			failed = append(failed, e)
			m.open.bytes -= len(e.text)
		}
		return e.failed != ""
	})
	m.changed(m.open)
	if len(failed) == 0 {
		m.say("nothing has failed here")
	}
	for _, e := range failed {
		if !again {
			continue
		}
		if err := m.send(m.open, e.text); err != nil {
			m.fail(told(err))
		}
	}
	return nil
}
