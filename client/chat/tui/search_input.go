package tui

import (
	tea "charm.land/bubbletea/v2"

	"chatd/client/chat/widget"
)

// maxSearch limits the search text, in bytes.
const maxSearch = 200

// cmdSearch starts a search in the open conversation.
func (m *model) cmdSearch(args []string) tea.Cmd {
	if m.listFocused() {
		m.notifyError("Open a chat first")
		return nil
	}
	m.overlay = nil
	m.search = &search{input: widget.Editor{Ruler: m.ruler, MaxBytes: maxSearch}, at: -1}
	m.updateCompletions()
	if len(args) > 0 {
		m.search.input.Set(args[0])
		m.searchChanged()
		if m.search.current() == nil {
			return m.searchOlder()
		}
	}
	return nil
}

func (m *model) endSearch() {
	m.search = nil
	m.updateCompletions()
}

func (m *model) searchKey(k tea.KeyPressMsg) tea.Cmd {
	h := m.layout().messages
	switch k.String() {
	case "esc", "ctrl+f":
		m.endSearch()
		m.notify("")
	case "enter", "up", "ctrl+p", "shift+tab":
		return m.searchOlder()
	case "down", "ctrl+n", "tab":
		if m.search.newer() {
			m.reveal()
		}
	case "pgup":
		return m.scroll(h - 2)
	case "pgdown":
		return m.scroll(2 - h)
	default:
		if m.search.input.HandleKey(k) {
			m.searchChanged()
		}
	}
	return nil
}

// searchChanged searches again after the search text has changed.
func (m *model) searchChanged() {
	m.search.at, m.search.loadingMore = -1, false
	m.search.hits = nil
	m.search.find(m.open, m.ruler)
	m.notify("")
	m.reveal()
}

// searchOlder goes to the next older hit. If none is loaded, it loads older
// messages until one is.
func (m *model) searchOlder() tea.Cmd {
	s := m.search
	switch {
	case s.input.Empty() || s.loadingMore:
		return nil
	case s.older():
		m.reveal()
		return nil
	}
	return m.searchOlderPage()
}

func (m *model) searchOlderPage() tea.Cmd {
	low, _ := m.open.seqRange()
	if m.open.hasFirst || !m.open.loaded || low <= m.open.first {
		m.search.loadingMore = false
		m.notify("No older matches")
		return nil
	}
	m.search.moreFrom = hit{}
	if h := m.search.current(); h != nil {
		m.search.moreFrom = *h
	}
	cmd := m.loadPage(pageOlder)
	if m.search.loadingMore = cmd != nil || m.open.loading; !m.search.loadingMore {
		m.notifyError("No connection: can't search older messages")
	} else {
		m.notify("Searching older messages…")
	}
	return cmd
}

// continueSearch continues a search that was waiting for older messages.
func (m *model) continueSearch() tea.Cmd {
	s := m.search
	if s == nil || !s.loadingMore {
		return nil
	}
	s.loadingMore = false
	if s.resume() {
		m.notify("")
		m.reveal()
		return nil
	}
	return m.searchOlderPage()
}

// reveal scrolls to the current hit.
func (m *model) reveal() {
	if h := m.search.current(); h != nil {
		m.updateTranscript()
		m.transcript.reveal(&m.open.scroll, h.msg, h.line, h.from, m.layout().messages)
		m.transcriptDirty = true
	}
}
