package tui

// narrowBelow is the window width in columns below which only the list or the
// conversation is shown.
const narrowBelow = 60

// layout has the position and size of everything on the screen, in rows and
// columns. Elements that don't fit have 0 rows.
type layout struct {
	listWidth  int // 0 hides the list
	listTop    int
	listHeight int
	mainLeft   int // first column of the right pane
	width      int // its columns

	// Rows of the right pane, from top to bottom.
	header   int // title and a rule
	messages int
	notice   int
	rule     int
	input    int
	status   int

	inputWidth  int // columns of the input
	textWidth   int // columns of message text
	statusWidth int // columns to the right of it, for time and status
}

// indent is how many columns message text is indented. Names aren't, so text
// can't imitate a name row.
const indent = 2

func (m *model) narrow() bool { return m.w < narrowBelow }

func (m *model) layout() layout {
	p := layout{width: m.w}
	if !m.narrow() {
		p.listWidth = max(20, min(m.w/4, 32))
		p.mainLeft = p.listWidth + 1
		p.width = m.w - p.mainLeft
	}
	p.inputWidth = max(2, p.width-1-m.ruler.Width(prompt))
	if m.h >= 3 {
		p.status = 1
	}
	switch {
	case m.h >= 12:
		p.header = 2
	case m.h >= 5:
		p.header = 1
	}
	if m.h >= 7 {
		p.notice = 1
	}
	if m.h >= 10 {
		p.rule = 1
	}
	p.input = 1
	if m.search == nil && !m.input.Empty() {
		rows, _, _, _ := m.input.Rows(p.inputWidth)
		p.input = max(1, min(len(rows), m.h/3))
	}
	p.input = min(p.input, max(0, m.h-p.status))
	p.messages = max(0, m.h-p.status-p.header-p.notice-p.rule-p.input)
	switch {
	case !m.narrow():
		p.listTop, p.listHeight = p.header, max(0, m.h-p.status-p.header)
	case m.showList:
		p.listWidth, p.listTop, p.listHeight = m.w, p.header, p.messages
	}
	switch {
	case p.width >= 44:
		p.statusWidth = 9
	case p.width >= 20:
		p.statusWidth = 4
	}
	p.textWidth = max(1, p.width-1-indent-p.statusWidth)
	return p
}

// updateTranscript rebuilds the rows of the open conversation if they are out
// of date.
func (m *model) updateTranscript() {
	p := m.layout()
	if m.open == nil {
		m.transcript.rows = m.transcript.rows[:0]
		return
	}
	if now := (builtFor{m.open, p.textWidth}); m.transcriptDirty || m.built != now {
		m.transcript.build(m.open, m.ruler, p.textWidth)
		m.built, m.transcriptDirty = now, false
	}
	m.transcript.reanchor(&m.open.scroll, p.messages)
}
