package tui

import (
	"slices"
	"strings"
)

// maxMenu is how many choices are shown, maxChoices how many there are.
const (
	maxMenu    = 7
	maxChoices = 200
)

// menu is what may complete a command that is being typed.
type menu struct {
	choices []choice
	at      int
	closed  bool // until something is typed
}

// choice is one way to go on.
type choice struct {
	line string // what the whole input becomes
	show string
	help string
}

// complete fills the menu for what has been typed.
func (m *model) complete() {
	old := m.menu
	m.menu = menu{}
	typed := m.input.value()
	if !isCommand(typed) || m.input.at != len(m.input.chars) || strings.Contains(typed, "\n") || m.search != nil {
		return
	}
	name, rest, more := strings.Cut(typed[1:], " ")
	if !more {
		for i := range m.table {
			if c := &m.table[i]; strings.HasPrefix(c.name, name) {
				line := "/" + c.name
				if len(c.args) > 0 {
					line += " "
				}
				m.menu.choices = append(m.menu.choices, choice{line, c.usage(), c.help})
			}
		}
	} else {
		m.completeArg(name, rest)
	}
	if old.at < len(m.menu.choices) && len(old.choices) == len(m.menu.choices) {
		m.menu.at = old.at
	}
}

// completeArg fills the menu with what the argument that is being typed can be.
func (m *model) completeArg(name, rest string) {
	i := slices.IndexFunc(m.table, func(c command) bool { return c.name == name })
	if i < 0 {
		return
	}
	words := splitWords(rest)
	typed, at := "", len(words)
	if len(words) > 0 && !strings.HasSuffix(rest, " ") {
		at--
		typed = rest[words[at].from:]
	}
	args := m.table[i].args
	if at >= len(args) {
		return
	}
	typed = strings.ToLower(strings.TrimPrefix(typed, `"`))
	before := rest // what stands before the argument
	if at < len(words) {
		before = rest[:words[at].from]
	}
	add := func(name, help string) {
		if name != "" && strings.HasPrefix(strings.ToLower(name), typed) && len(m.menu.choices) < maxChoices {
			m.menu.choices = append(m.menu.choices, choice{"/" + m.table[i].name + " " + before + quote(name) + " ", name, help})
		}
	}
	kind := args[at].kind
	for _, c := range m.roster.list {
		switch {
		case c.id.Group != 0 && (kind == argWho || kind == argGroup) && !c.gone:
			add(c.name, "group "+count(c.id.Group))
		case c.id.Peer != 0 && c.id.Peer != m.me && (kind == argWho || kind == argUser):
			add(c.name, map[bool]string{true: "online", false: ""}[m.present[c.id.Peer]])
		}
	}
	if len(m.menu.choices) == 1 && strings.EqualFold(m.menu.choices[0].show, typed) {
		m.menu.choices = nil // nothing is left to choose
	}
}

// open reports whether there is something to choose.
func (m *menu) open() bool { return len(m.choices) > 0 && !m.closed }

func (m *menu) move(by int) {
	m.at = (m.at + by + len(m.choices)) % len(m.choices)
}

// menuRows draws the choices around the chosen one.
func (m *model) menuRows(w, h int) (rows []string) {
	if !m.menu.open() {
		return nil
	}
	th, h := &m.theme, min(h, maxMenu, len(m.menu.choices))
	from := max(0, min(m.menu.at-h/2, len(m.menu.choices)-h))
	head := 0
	for _, c := range m.menu.choices {
		head = max(head, m.ruler.Width(m.ruler.Show(c.show)))
	}
	head = min(head, max(w*2/3, 10))
	for i := from; i < from+h; i++ {
		c, below, bar := m.menu.choices[i], th.tip, " "
		if i == m.menu.at {
			below, bar = th.chosen, "▌"
		}
		l := newLine(m.ruler, w).add(th.accent.with(below), bar)
		l.add(below, m.ruler.Cut(m.ruler.Show(c.show), head)).to(below, head+3).add(th.dim.with(below), c.help)
		rows = append(rows, l.to(below, w).end())
	}
	return rows
}
