package tui

import tea "charm.land/bubbletea/v2"

// maxSearch is how many bytes of words one can look for.
const maxSearch = 200

// cmdSearch begins a search in the open conversation.
func (m *model) cmdSearch(args []string) tea.Cmd {
	if m.inList() {
		m.fail("open a conversation first")
		return nil
	}
	m.sheet = nil
	m.search = &search{input: editor{r: m.ruler, most: maxSearch}, at: -1}
	m.complete()
	if len(args) > 0 {
		m.search.input.set(args[0])
		m.searchChanged()
		if m.search.here() == nil {
			return m.searchOlder()
		}
	}
	return nil
}

func (m *model) endSearch() {
	m.search = nil
	m.complete()
}

func (m *model) searchKey(k tea.KeyPressMsg) tea.Cmd {
	h := m.places().messages
	switch k.String() {
	case "esc", "ctrl+f":
		m.endSearch()
		m.say("")
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
		if m.search.input.key(k) {
			m.searchChanged()
		}
	}
	return nil
}

// searchChanged looks for other words, from the end on.
func (m *model) searchChanged() {
	m.search.at, m.search.more = -1, false
	m.search.hits = nil
	m.search.find(m.open, m.ruler)
	m.say("")
	m.reveal()
}

// searchOlder goes to the hit before; where there is none here, it reads on
// from the server until there is.
func (m *model) searchOlder() tea.Cmd {
	s := m.search
	switch {
	case s.input.empty() || s.more:
		return nil
	case s.older():
		m.reveal()
		return nil
	}
	return m.searchFurther()
}

func (m *model) searchFurther() tea.Cmd {
	low, _ := m.open.bounds()
	if m.open.begins || !m.open.loaded || low <= m.open.first {
		m.search.more = false
		m.say("nothing older")
		return nil
	}
	m.search.had = hit{}
	if h := m.search.here(); h != nil {
		m.search.had = *h
	}
	cmd := m.load(wayOlder)
	if m.search.more = cmd != nil || m.open.loading; !m.search.more {
		m.fail("no connection to look further back")
	} else {
		m.say("looking further back …")
	}
	return cmd
}

// searchOn goes on with a search that needed older messages.
func (m *model) searchOn() tea.Cmd {
	s := m.search
	if s == nil || !s.more {
		return nil
	}
	s.more = false
	if s.found() {
		m.say("")
		m.reveal()
		return nil
	}
	return m.searchFurther()
}

// reveal scrolls to the hit that is looked at.
func (m *model) reveal() {
	if h := m.search.here(); h != nil {
		m.layout()
		m.thread.reveal(&m.open.scroll, h.e, h.line, h.from, m.places().messages)
		m.stale = true
	}
}
