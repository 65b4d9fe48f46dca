package widget

import (
	"image/color"

	"github.com/charmbracelet/x/ansi"
)

// Style has the colors and attributes of a piece of text. The renderer reduces
// colors to what the terminal supports and drops them if NO_COLOR is set, so
// nothing may be shown by color alone.
type Style struct{ ansi.Style }

// Render returns text in this style.
func (s Style) Render(text string) string {
	if text == "" || len(s.Style) == 0 {
		return text
	}
	return s.Styled(text)
}

// Over returns s with the attributes of below that s doesn't set, such as the
// background of a selected row.
func (s Style) Over(below Style) Style {
	return Style{append(append(ansi.Style{}, below.Style...), s.Style...)}
}

// Theme has the styles for a dark or a light background.
type Theme struct {
	Dim, Bold, Accent, Good, Warn, Bad                  Style
	Rule, Badge, Selected, Hit, CurrentHit, Self, Panel Style
	users                                               []Style
}

// NewTheme returns the theme for a dark or a light background.
func NewTheme(dark bool) Theme {
	pick := func(light, night string) color.Color {
		if dark {
			return ansi.XParseColor(night)
		}
		return ansi.XParseColor(light)
	}
	fg := func(light, night string) Style { return Style{ansi.NewStyle().ForegroundColor(pick(light, night))} }
	accent := pick("#1f6f8b", "#7fb8d4")
	t := Theme{
		Dim:        fg("#6f757c", "#868d96"),
		Bold:       Style{ansi.NewStyle().Bold()},
		Accent:     Style{ansi.NewStyle().ForegroundColor(accent).Bold()},
		Good:       fg("#2f7d4f", "#86c49a"),
		Warn:       fg("#95640a", "#d9b36c"),
		Bad:        fg("#b3383f", "#e08a8a"),
		Rule:       fg("#c3c8ce", "#474d55"),
		Badge:      Style{ansi.NewStyle().ForegroundColor(accent).Bold()},
		Selected:   Style{ansi.NewStyle().BackgroundColor(pick("#dfe8ee", "#2c343c")).Bold()},
		Hit:        Style{ansi.NewStyle().BackgroundColor(pick("#f3e3b0", "#5a4b22")).Underline(true)},
		CurrentHit: Style{ansi.NewStyle().Reverse(true).Bold()},
		Self:       Style{ansi.NewStyle().ForegroundColor(accent).Bold()},
		Panel:      Style{ansi.NewStyle().BackgroundColor(pick("#eef1f4", "#23292f"))},
	}
	for _, c := range [][2]string{{"#8a5a2b", "#d3a67c"}, {"#7a4a8c", "#c39bd3"}, {"#2f7d5f", "#86c4ab"},
		{"#a3474f", "#dd9a9f"}, {"#57702a", "#b5c689"}, {"#4a5fa5", "#9fb0e0"}} {
		t.users = append(t.users, Style{ansi.NewStyle().ForegroundColor(pick(c[0], c[1])).Bold()})
	}
	return t
}

// User returns the style of a user's name. me is the ID of the current user.
func (t *Theme) User(id, me int64) Style {
	if id == me {
		return t.Self
	}
	return t.users[uint64(id)%uint64(len(t.users))]
}
