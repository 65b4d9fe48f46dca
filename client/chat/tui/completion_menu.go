package tui

import (
	"slices"
	"strconv"
	"strings"

	"chatd/client/chat/widget"
)

// Limits of the completion menu: visible rows, and entries for an argument.
const (
	maxMenuRows    = 7
	maxCompletions = 200
)

// completionMenu lists completions for the command being typed.
type completionMenu struct {
	items  []completion
	cursor int
	closed bool // closed with Esc; typing opens it again
}

// completion is one entry of the menu.
type completion struct {
	line  string // the input after the entry is accepted
	label string
	help  string
}

// updateCompletions fills the menu for the current input. Call it after every
// change of the input.
func (m *model) updateCompletions() {
	old := m.menu
	m.menu = completionMenu{}
	typed := m.input.Value()
	if !isCommand(typed) || !m.input.AtEnd() || strings.Contains(typed, "\n") || m.search != nil {
		return
	}
	name, rest, more := strings.Cut(typed[1:], " ")
	if !more {
		for i := range m.commands {
			if c := &m.commands[i]; strings.HasPrefix(c.name, name) {
				line := "/" + c.name
				if len(c.args) > 0 {
					line += " "
				}
				m.menu.items = append(m.menu.items, completion{line, c.usage(), c.help})
			}
		}
	} else {
		m.completeArgument(name, rest)
	}
	if old.cursor < len(m.menu.items) && len(old.items) == len(m.menu.items) {
		m.menu.cursor = old.cursor
	}
}

// completeArgument fills the menu for the argument being typed.
func (m *model) completeArgument(name, rest string) {
	i := slices.IndexFunc(m.commands, func(c command) bool { return c.name == name })
	if i < 0 {
		return
	}
	words := splitWords(rest)
	typed, at := "", len(words)
	if len(words) > 0 && !strings.HasSuffix(rest, " ") {
		at--
		typed = rest[words[at].from:]
	}
	args := m.commands[i].args
	if at >= len(args) {
		return
	}
	typed = strings.ToLower(strings.TrimPrefix(typed, `"`))
	before := rest // the part of the line before the argument
	if at < len(words) {
		before = rest[:words[at].from]
	}
	add := func(name, help string) {
		if name != "" && strings.HasPrefix(strings.ToLower(name), typed) && len(m.menu.items) < maxCompletions {
			m.menu.items = append(m.menu.items, completion{"/" + m.commands[i].name + " " + before + quote(name) + " ", name, help})
		}
	}
	kind := args[at].kind
	for _, c := range m.convList.items {
		switch {
		case c.id.Group != 0 && (kind == argWho || kind == argGroup) && !c.notMember:
			add(c.name, "group "+strconv.FormatInt(c.id.Group, 10))
		case c.id.Peer != 0 && c.id.Peer != m.myID && (kind == argWho || kind == argUser):
			add(c.name, map[bool]string{true: "online", false: ""}[m.presence[c.id.Peer]])
		}
	}
	if len(m.menu.items) == 1 && strings.EqualFold(m.menu.items[0].label, typed) {
		m.menu.items = nil // the argument is complete
	}
}

// open reports whether the menu is shown.
func (m *completionMenu) open() bool { return len(m.items) > 0 && !m.closed }

func (m *completionMenu) move(by int) {
	m.cursor = (m.cursor + by + len(m.items)) % len(m.items)
}

// menuRows draws the entries around the cursor.
func (m *model) menuRows(w, h int) (rows []string) {
	if !m.menu.open() {
		return nil
	}
	th, h := &m.theme, min(h, maxMenuRows, len(m.menu.items))
	from := max(0, min(m.menu.cursor-h/2, len(m.menu.items)-h))
	head := 0
	for _, c := range m.menu.items {
		head = max(head, m.ruler.Width(m.ruler.Show(c.label)))
	}
	head = min(head, max(w*2/3, 10))
	for i := from; i < from+h; i++ {
		c, below, bar := m.menu.items[i], th.Panel, " "
		if i == m.menu.cursor {
			below, bar = th.Selected, "▌"
		}
		l := widget.NewRow(m.ruler, w).Add(th.Accent.Over(below), bar)
		l.Add(below, m.ruler.Cut(m.ruler.Show(c.label), head)).PadTo(below, head+3).Add(th.Dim.Over(below), c.help)
		rows = append(rows, l.PadTo(below, w).Build())
	}
	return rows
}
