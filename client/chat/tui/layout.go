package tui

// narrowBelow is the width below which one pane is shown, not two.
const narrowBelow = 60

// places says what is where: columns and rows of the screen, all within it.
// What there is no room for has no rows.
type layout struct {
	listWidth  int // 0: there is no list
	listTop    int
	listHeight int // rows of it
	mainLeft   int // where messages begin
	width      int // their columns
	header     int // rows above them: a name, a rule
	messages   int
	notice     int
	rule       int // above the input
	input      int
	status     int

	inputWidth  int // columns for what is typed
	textWidth   int // columns for what messages say
	statusWidth int // columns behind it, for times and marks
}

// indent is how far what is said is from the names: no message can look like
// a name.
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

// layout builds the rows of the open conversation, where something about them
// has changed.
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
