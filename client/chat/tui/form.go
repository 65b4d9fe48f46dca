package tui

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client/chat/text"
)

// form asks for a few lines. What is wrong with them is told in it.
type form struct {
	title    string
	subtitle string // a line under the title
	fields   []field
	submit   string // what the button says
	other    string // what another button says, "": there is none
	focus    int    // a field, then submit, then other
	progress string // what is going on
	problem  string // what was wrong
	busy     bool   // the server has been asked
}

type field struct {
	label string
	editor
}

// formAction is what a key of a form asks for.
type formAction int

const (
	formNone formAction = iota
	formSubmit
	formOther
	formCancel
)

func newForm(r text.Ruler, title, submit, other string, labels ...string) *form {
	f := &form{title: title, submit: submit, other: other}
	for _, label := range labels {
		f.fields = append(f.fields, field{label, editor{ruler: r, maxBytes: maxField, masked: strings.Contains(strings.ToLower(label), "password")}})
	}
	return f
}

// maxField is how many bytes a field of a form may hold.
const maxField = 1024

func (f *form) focusStops() int {
	if f.other == "" {
		return len(f.fields) + 1
	}
	return len(f.fields) + 2
}

// key does what a key says.
func (f *form) handleKey(k tea.KeyPressMsg) formAction {
	switch k.String() {
	case "esc":
		return formCancel
	case "tab", "down":
		f.focus = (f.focus + 1) % f.focusStops()
		return formNone
	case "shift+tab", "up":
		f.focus = (f.focus + f.focusStops() - 1) % f.focusStops()
		return formNone
	case "enter":
		return f.enter()
	}
	if f.focus < len(f.fields) && !f.busy {
		if f.fields[f.focus].handleKey(k) {
			f.problem = ""
		}
	}
	return formNone
}

// enter goes to the next field, and from the last one on does what the button
// says.
func (f *form) enter() formAction {
	switch {
	case f.busy:
		return formNone
	case f.focus == len(f.fields)+1:
		return formOther
	case f.focus < len(f.fields)-1:
		f.focus++
		return formNone
	}
	return formSubmit
}

func (f *form) value(i int) string { return f.fields[i].value() }

// formRow is a row of a drawn form: what it shows, and where the keyboard goes
// when it is clicked on, -1: nowhere.
type formRow struct {
	text  string
	focus int
}

// view draws the form for a width and a height, and says where the cursor is.
func (f *form) view(th *theme, r text.Ruler, w, h int) (rows []formRow, x, y int, cursor bool) {
	width := min(max(w-4, 4), 44)
	left := max(0, (w-width)/2)
	label := 0
	for i := range f.fields {
		label = max(label, r.Width(f.fields[i].label))
	}
	if label+12 > width {
		label = 0
	}
	add := func(l *rowBuilder, stop int) { rows = append(rows, formRow{l.build(), stop}) }
	start := func() *rowBuilder { return newRow(r, w).padTo(style{}, left) }
	tight := h < len(f.fields)+9
	gap := func() {
		if !tight {
			add(newRow(r, w), -1)
		}
	}
	add(start().add(th.accent, f.title), -1)
	if f.subtitle != "" && h > 6 {
		add(start().add(th.dim, f.subtitle), -1)
	}
	gap()
	for i := range f.fields {
		fd := &f.fields[i]
		st := th.dim
		if i == f.focus {
			st = th.bold
		}
		l := start()
		if label > 0 {
			l.add(st, fd.label).padTo(style{}, left+label+2)
		}
		room := max(width-(l.width-left), 2)
		all, _, row, col := fd.rows(room)
		if i == f.focus {
			x, y, cursor = l.width+col, len(rows), true
		}
		shown := all[row]
		if shown == "" && label == 0 && i != f.focus {
			l.add(th.dim, fd.label)
		}
		begin := l.width
		l.add(style{}, shown)
		l.add(th.rule, strings.Repeat("_", max(0, begin+room-l.width)))
		add(l, i)
	}
	gap()
	l := start()
	button := func(i int, s string) {
		if s == "" {
			return
		}
		if i == f.focus {
			l.add(th.currentHit, "[ "+s+" ]")
		} else {
			l.add(th.accent, "[ ").add(style{}, s).add(th.accent, " ]")
		}
		l.add(style{}, "  ")
	}
	button(len(f.fields), f.submit)
	add(l, len(f.fields))
	if f.other != "" {
		l = start()
		button(len(f.fields)+1, f.other)
		add(l, len(f.fields)+1)
	}
	gap()
	say, st := f.progress, th.dim
	if f.problem != "" {
		say, st = "✗ "+f.problem, th.bad
	}
	say = r.Show(say)
	for _, p := range r.Wrap(say, width) {
		add(start().add(st, strings.TrimRight(say[p[0]:p[1]], " ")), -1)
	}
	above := max(0, (h-len(rows))/3)
	blank := formRow{newRow(r, w).build(), -1}
	for range above {
		rows = append([]formRow{blank}, rows...)
	}
	y += above
	// The row with the cursor has to be in sight, whatever else isn't.
	if y >= h {
		cut := y - h + 1
		rows, y = rows[cut:], y-cut
	}
	for len(rows) < h {
		rows = append(rows, blank)
	}
	return rows[:h], x, y, cursor && !f.busy
}
