package tui

import (
	"image/color"

	"github.com/charmbracelet/x/ansi"
)

// style is how a piece of text looks. The renderer turns colours into what
// the terminal has, and leaves them out where NO_COLOR asks for that: nothing
// may be told by colour alone.
type style struct{ ansi.Style }

func (s style) render(text string) string {
	if text == "" || len(s.Style) == 0 {
		return text
	}
	return s.Styled(text)
}

// with is s on top of below: what s doesn't set, below does.
func (s style) over(below style) style {
	return style{append(append(ansi.Style{}, below.Style...), s.Style...)}
}

// theme has the styles, for a dark or a light background.
type theme struct {
	dim, bold, accent, good, warn, bad                  style
	rule, badge, selected, hit, currentHit, self, panel style
	users                                               []style
}

func newTheme(dark bool) theme {
	pick := func(light, night string) color.Color {
		if dark {
			return ansi.XParseColor(night)
		}
		return ansi.XParseColor(light)
	}
	fg := func(light, night string) style { return style{ansi.NewStyle().ForegroundColor(pick(light, night))} }
	accent := pick("#1f6f8b", "#7fb8d4")
	t := theme{
		dim:        fg("#6f757c", "#868d96"),
		bold:       style{ansi.NewStyle().Bold()},
		accent:     style{ansi.NewStyle().ForegroundColor(accent).Bold()},
		good:       fg("#2f7d4f", "#86c49a"),
		warn:       fg("#95640a", "#d9b36c"),
		bad:        fg("#b3383f", "#e08a8a"),
		rule:       fg("#c3c8ce", "#474d55"),
		badge:      style{ansi.NewStyle().ForegroundColor(accent).Bold()},
		selected:   style{ansi.NewStyle().BackgroundColor(pick("#dfe8ee", "#2c343c")).Bold()},
		hit:        style{ansi.NewStyle().BackgroundColor(pick("#f3e3b0", "#5a4b22")).Underline(true)},
		currentHit: style{ansi.NewStyle().Reverse(true).Bold()},
		self:       style{ansi.NewStyle().ForegroundColor(accent).Bold()},
		panel:      style{ansi.NewStyle().BackgroundColor(pick("#eef1f4", "#23292f"))},
	}
	for _, c := range [][2]string{{"#8a5a2b", "#d3a67c"}, {"#7a4a8c", "#c39bd3"}, {"#2f7d5f", "#86c4ab"},
		{"#a3474f", "#dd9a9f"}, {"#57702a", "#b5c689"}, {"#4a5fa5", "#9fb0e0"}} {
		t.users = append(t.users, style{ansi.NewStyle().ForegroundColor(pick(c[0], c[1])).Bold()})
	}
	return t
}

// person is the style of a user's name.
func (t *theme) person(id, me int64) style {
	if id == me {
		return t.self
	}
	return t.users[uint64(id)%uint64(len(t.users))]
}

// What marks are drawn with. All are one column wide.
const (
	dotOnline   = "●"
	dotOffline  = "○"
	groupMark   = "#"
	markSending = "·"
	markStored  = "✓"
	markFailed  = "✗"
	markQueued  = "queued"
	prompt      = "› "
)
