package widget

import (
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client/chat/text"
)

// form asks for a few lines. What is wrong with them is told in it.
type Form struct {
	title    string
	Subtitle string // a line under the title
	Fields   []field
	submit   string // what the button says
	other    string // what another button says, "": there is none
	Focus    int    // a field, then submit, then other
	Progress string // what is going on
	Problem  string // what was wrong
	Busy     bool   // the server has been asked
}

type field struct {
	label string
	Editor
}

// formAction is what a key of a form asks for.
type FormAction int

const (
	FormNone FormAction = iota
	FormSubmit
	FormOther
	FormCancel
)

func NewForm(r text.Ruler, title, submit, other string, labels ...string) *Form {
	f := &Form{title: title, submit: submit, other: other}
	for _, label := range labels {
		f.Fields = append(f.Fields, field{label, Editor{Ruler: r, MaxBytes: maxField, Masked: strings.Contains(strings.ToLower(label), "password")}})
	}
	return f
}

// maxField is how many bytes a field of a form may hold.
const maxField = 1024

func (f *Form) focusStops() int {
	if f.other == "" {
		return len(f.Fields) + 1
	}
	return len(f.Fields) + 2
}

// key does what a key says.
func (f *Form) HandleKey(k tea.KeyPressMsg) FormAction {
	switch k.String() {
	case "esc":
		return FormCancel
	case "tab", "down":
		f.Focus = (f.Focus + 1) % f.focusStops()
		return FormNone
	case "shift+tab", "up":
		f.Focus = (f.Focus + f.focusStops() - 1) % f.focusStops()
		return FormNone
	case "enter":
		return f.Enter()
	}
	if f.Focus < len(f.Fields) && !f.Busy {
		if f.Fields[f.Focus].HandleKey(k) {
			f.Problem = ""
		}
	}
	return FormNone
}

// enter goes to the next field, and from the last one on does what the button
// says.
func (f *Form) Enter() FormAction {
	switch {
	case f.Busy:
		return FormNone
	case f.Focus == len(f.Fields)+1:
		return FormOther
	case f.Focus < len(f.Fields)-1:
		f.Focus++
		return FormNone
	}
	return FormSubmit
}

func (f *Form) Value(i int) string { return f.Fields[i].Value() }

// formRow is a row of a drawn form: what it shows, and where the keyboard goes
// when it is clicked on, -1: nowhere.
type FormRow struct {
	Text  string
	Focus int
}

// view draws the form for a width and a height, and says where the cursor is.
func (f *Form) View(th *Theme, r text.Ruler, w, h int) (rows []FormRow, x, y int, cursor bool) {
	width := min(max(w-4, 4), 44)
	left := max(0, (w-width)/2)
	label := 0
	for i := range f.Fields {
		label = max(label, r.Width(f.Fields[i].label))
	}
	if label+12 > width {
		label = 0
	}
	add := func(l *RowBuilder, stop int) { rows = append(rows, FormRow{l.Build(), stop}) }
	start := func() *RowBuilder { return NewRow(r, w).PadTo(Style{}, left) }
	tight := h < len(f.Fields)+9
	gap := func() {
		if !tight {
			add(NewRow(r, w), -1)
		}
	}
	add(start().Add(th.Accent, f.title), -1)
	if f.Subtitle != "" && h > 6 {
		add(start().Add(th.Dim, f.Subtitle), -1)
	}
	gap()
	for i := range f.Fields {
		fd := &f.Fields[i]
		st := th.Dim
		if i == f.Focus {
			st = th.Bold
		}
		l := start()
		if label > 0 {
			l.Add(st, fd.label).PadTo(Style{}, left+label+2)
		}
		room := max(width-(l.Width-left), 2)
		all, _, row, col := fd.Rows(room)
		if i == f.Focus {
			x, y, cursor = l.Width+col, len(rows), true
		}
		shown := all[row]
		if shown == "" && label == 0 && i != f.Focus {
			l.Add(th.Dim, fd.label)
		}
		begin := l.Width
		l.Add(Style{}, shown)
		l.Add(th.Rule, strings.Repeat("_", max(0, begin+room-l.Width)))
		add(l, i)
	}
	gap()
	l := start()
	button := func(i int, s string) {
		if s == "" {
			return
		}
		if i == f.Focus {
			l.Add(th.CurrentHit, "[ "+s+" ]")
		} else {
			l.Add(th.Accent, "[ ").Add(Style{}, s).Add(th.Accent, " ]")
		}
		l.Add(Style{}, "  ")
	}
	button(len(f.Fields), f.submit)
	add(l, len(f.Fields))
	if f.other != "" {
		l = start()
		button(len(f.Fields)+1, f.other)
		add(l, len(f.Fields)+1)
	}
	gap()
	say, st := f.Progress, th.Dim
	if f.Problem != "" {
		say, st = "✗ "+f.Problem, th.Bad
	}
	say = r.Show(say)
	for _, p := range r.Wrap(say, width) {
		add(start().Add(st, strings.TrimRight(say[p[0]:p[1]], " ")), -1)
	}
	above := max(0, (h-len(rows))/3)
	blank := FormRow{NewRow(r, w).Build(), -1}
	for range above {
		rows = append([]FormRow{blank}, rows...)
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
	return rows[:h], x, y, cursor && !f.Busy
}
