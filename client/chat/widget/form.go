package widget

import (
	"slices"
	"strings"

	tea "charm.land/bubbletea/v2"

	"chatd/client/chat/text"
)

// Form has input fields, one or two buttons, and a row for problem or progress.
type Form struct {
	title    string
	Subtitle string // shown below the title
	Fields   []field
	submit   string // label of the first button
	other    string // label of the second button, "" for none
	Focus    int    // index of a field, then the first button, then the second
	Progress string // shown while Busy
	Problem  string // an error, shown instead of Progress
	Busy     bool   // waiting for the server: fields and buttons are disabled
}

// field is an input field with its label.
type field struct {
	label string
	Editor
}

// FormAction tells the caller what the user wants after a key or click.
type FormAction int

const (
	FormNone   FormAction = iota
	FormSubmit            // the first button was pressed
	FormOther             // the second button was pressed
	FormCancel            // Esc was pressed
)

// NewForm returns a form. other may be empty. Fields with "password" in their
// label are masked.
func NewForm(r text.Ruler, title, submit, other string, labels ...string) *Form {
	f := &Form{title: title, submit: submit, other: other}
	for _, label := range labels {
		f.Fields = append(f.Fields, field{label, Editor{Ruler: r, MaxBytes: maxField, Masked: strings.Contains(strings.ToLower(label), "password")}})
	}
	return f
}

// maxField is the maximum length of a field in bytes.
const maxField = 1024

// focusStops returns the number of fields and buttons.
func (f *Form) focusStops() int {
	if f.other == "" {
		return len(f.Fields) + 1
	}
	return len(f.Fields) + 2
}

// HandleKey applies a key and returns what the caller must do.
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

// Enter handles the Enter key. It moves from a field to the next one. On the
// last field it presses the first button, on a button that one.
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

// Value returns the text of field i.
func (f *Form) Value(i int) string { return f.Fields[i].Value() }

// FormRow is one row of a drawn form.
type FormRow struct {
	Text  string
	Focus int // what a click on the row sets Form.Focus to; -1 if it does nothing
}

// View draws the form in exactly h rows of w columns. x and y are the cursor's
// position. cursor is false if there is none, because a button has the focus or
// the form is busy. The row with the cursor is always visible.
func (f *Form) View(th *Theme, r text.Ruler, w, h int) (rows []FormRow, x, y int, cursor bool) {
	d := newFormDrawing(f, th, r, w, h)
	d.add(d.row().Add(th.Accent, f.title), -1)
	if f.Subtitle != "" && h > 6 {
		d.add(d.row().Add(th.Dim, f.Subtitle), -1)
	}
	d.gap()
	for i := range f.Fields {
		d.field(i)
	}
	d.gap()
	d.button(len(f.Fields), f.submit)
	if f.other != "" {
		d.button(len(f.Fields)+1, f.other)
	}
	d.gap()
	d.message()

	above := max(0, (h-len(d.rows))/3)
	blank := FormRow{NewRow(r, w).Build(), -1}
	rows = append(slices.Repeat([]FormRow{blank}, above), d.rows...)
	y = d.y + above
	if y >= h {
		rows, y = rows[y-h+1:], h-1
	}
	for len(rows) < h {
		rows = append(rows, blank)
	}
	return rows[:h], d.x, y, d.cursor && !f.Busy
}

// formDrawing draws a form row by row.
type formDrawing struct {
	f      *Form
	th     *Theme
	ruler  text.Ruler
	w      int  // columns of the screen
	left   int  // first column of the form
	width  int  // columns of the form
	label  int  // columns for labels; 0 if labels are shown in empty fields instead
	tight  bool // too few rows for gaps
	rows   []FormRow
	x, y   int // position of the cursor
	cursor bool
}

func newFormDrawing(f *Form, th *Theme, r text.Ruler, w, h int) *formDrawing {
	d := &formDrawing{f: f, th: th, ruler: r, w: w, width: min(max(w-4, 4), 44), tight: h < len(f.Fields)+9}
	d.left = max(0, (w-d.width)/2)
	for i := range f.Fields {
		d.label = max(d.label, r.Width(f.Fields[i].label))
	}
	if d.label+12 > d.width {
		d.label = 0
	}
	return d
}

// row starts a row at the form's left edge.
func (d *formDrawing) row() *RowBuilder { return NewRow(d.ruler, d.w).PadTo(Style{}, d.left) }

func (d *formDrawing) add(l *RowBuilder, focus int) {
	d.rows = append(d.rows, FormRow{l.Build(), focus})
}

// gap adds an empty row if there is room for it.
func (d *formDrawing) gap() {
	if !d.tight {
		d.add(NewRow(d.ruler, d.w), -1)
	}
}

// field adds the row of an input field.
func (d *formDrawing) field(i int) {
	fd, focused := &d.f.Fields[i], i == d.f.Focus
	st := d.th.Dim
	if focused {
		st = d.th.Bold
	}
	l := d.row()
	if d.label > 0 {
		l.Add(st, fd.label).PadTo(Style{}, d.left+d.label+2)
	}
	room := max(d.width-(l.Width-d.left), 2)
	all, _, row, col := fd.Rows(room)
	if focused {
		d.x, d.y, d.cursor = l.Width+col, len(d.rows), true
	}
	shown := all[row]
	if shown == "" && d.label == 0 && !focused {
		l.Add(d.th.Dim, fd.label)
	}
	begin := l.Width
	l.Add(Style{}, shown)
	l.Add(d.th.Rule, strings.Repeat("_", max(0, begin+room-l.Width)))
	d.add(l, i)
}

// button adds the row of a button.
func (d *formDrawing) button(focus int, label string) {
	l := d.row()
	if focus == d.f.Focus {
		l.Add(d.th.CurrentHit, "[ "+label+" ]")
	} else {
		l.Add(d.th.Accent, "[ ").Add(Style{}, label).Add(d.th.Accent, " ]")
	}
	d.add(l, focus)
}

// message adds the problem, or the progress if there is no problem.
func (d *formDrawing) message() {
	s, st := d.f.Progress, d.th.Dim
	if d.f.Problem != "" {
		s, st = "✗ "+d.f.Problem, d.th.Bad
	}
	s = d.ruler.Show(s)
	for _, p := range d.ruler.Wrap(s, d.width) {
		d.add(d.row().AddSentence(st, strings.TrimRight(s[p[0]:p[1]], " ")), -1)
	}
}
