package tui

import (
	"strings"
	"testing"
	"time"
	"unicode"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"chatd/client"
	"chatd/client/chat/widget"
)

const (
	hebrew = "דוד 12"  // ends with a number, which would move
	arabic = "مريم 34" // in another script
)

// outside returns a row with every isolated text replaced by "□". It fails the test if
// text from right to left isn't isolated, if an isolate isn't closed in the row, or if
// one has anything but (the beginning of) one of the names.
func outside(t *testing.T, place, row string, names ...string) string {
	t.Helper()
	var b, inside strings.Builder
	depth := 0
	for _, r := range ansi.Strip(row) {
		switch {
		case r == '\u2068':
			depth++
			inside.Reset()
		case r == '\u2069':
			depth--
			ok := false
			for _, name := range names {
				ok = ok || strings.HasPrefix(name, strings.TrimSuffix(inside.String(), "…"))
			}
			if !ok {
				t.Errorf("%s: %q is isolated in %q, want one of the names %q", place, inside.String(), row, names)
			}
			b.WriteString("□")
		case depth > 0:
			inside.WriteRune(r)
		case unicode.In(r, unicode.Hebrew, unicode.Arabic):
			t.Errorf("%s: %q isn't isolated in %q", place, r, row)
			return ""
		default:
			b.WriteRune(r)
		}
	}
	if depth != 0 {
		t.Errorf("%s: %d isolates are open at the end of %q, want none", place, depth, row)
	}
	return b.String()
}

// Names from right to left don't reorder what stands next to them, in any place that
// shows the name of another user or a group.
func TestNamesFromRightToLeft(t *testing.T) {
	text := "שלום 5 " + "(bob) ה"
	for _, c := range []struct {
		place string
		scene func(m *model)
		want  string // in a row of the screen
	}{
		{"list", func(m *model) { m.conversation(client.User(2)).last = 70 }, " □  "},
		{"header", func(m *model) { m.openConversation(m.conversation(client.User(2))) }, "□ "},
		{"description", func(m *model) { m.openConversation(m.conversation(client.Group(9))) }, "# □  □ "},
		{"sender", func(m *model) { m.openConversation(m.conversation(client.User(2))) }, " □  "},
		{"text", func(m *model) { m.openConversation(m.conversation(client.User(2))) }, "   □ "},
		{"typing", func(m *model) {
			m.openConversation(m.conversation(client.User(2)))
			m.open.typing[2] = typist{hebrew, m.now().Add(time.Hour)}
		}, "□ 12 is typing…"},
		{"two typing", func(m *model) {
			m.openConversation(m.conversation(client.Group(9)))
			m.open.loading, m.open.loaded = false, true
			m.open.typing[2] = typist{hebrew, m.now().Add(time.Hour)}
			m.open.typing[3] = typist{arabic, m.now().Add(time.Hour)}
		}, "□ 12 and □ 34 are typing…"},
		{"notice", func(m *model) { m.notify(hebrew + " is now your friend") }, "□ 12 is now your friend"},
		{"error", func(m *model) { m.notifyError("can't remove " + arabic + ": not a member") }, "can't remove □ 34: not a member"},
		{"question", func(m *model) { m.confirm("Leave "+hebrew+"?", nil) }, "Leave □ 12? (y/n)"},
		{"change", func(m *model) {
			c := m.conversation(client.User(2))
			m.openConversation(c)
			c.addNotice(hebrew+" joined", m.now())
			m.messagesChanged(c)
		}, "· □ 12 joined"},
		{"failure", func(m *model) {
			c := m.conversation(client.User(2))
			m.openConversation(c)
			c.addPending(7, 1, "alice", "x", m.now())
			c.completeSend(7, client.Receipt{}, arabic+" has blocked you")
			m.messagesChanged(c)
		}, "□ 34 has blocked you"},
		{"overlay", func(m *model) {
			m.overlay = &widget.Overlay{Title: "Members of " + hebrew}
			m.overlay.Add(arabic, "online · ID 7 · "+hebrew)
		}, "Members of □ 12"},
		{"overlay line", func(m *model) {
			m.overlay = &widget.Overlay{Title: "x"}
			m.overlay.Add(arabic, "online · ID 7 · "+hebrew)
		}, "□  online · ID 7 · □ 12"},
		{"menu", func(m *model) { m.input.Set("/chat "); m.updateCompletions() }, "▌□ "},
		{"welcome", func(m *model) { m.myName = hebrew }, "Welcome, □ 12!"},
		{"status", func(m *model) { m.myName = hebrew }, "online  □"},
	} {
		m := still(t)
		b := m.conversation(client.User(2))
		b.name, m.conversation(client.User(3)).name, m.conversation(client.Group(9)).name = hebrew, arabic, arabic
		m.descriptions[client.Group(9)] = hebrew
		b.dropStored()
		b.messages = nil
		b.addPage(pageOf(1, 0, true, pageLast, 0, 0))
		b.receive(client.Message{Conv: b.id, Seq: 70, From: 2, Name: hebrew, Text: text, Time: noon}, 1)
		m.convList.update(m.conversations)
		c.scene(m)
		m.Update(tea.WindowSizeMsg{Width: 120, Height: 24})
		var screen []string
		found := false
		for _, row := range strings.Split(m.View().Content, "\n") {
			row = outside(t, c.place, row, hebrew, arabic, text)
			screen = append(screen, row)
			found = found || strings.Contains(row, c.want)
		}
		if !found {
			t.Errorf("%s: no row has %q; the screen without names:\n%s", c.place, c.want, strings.Join(screen, "\n"))
		}
	}
}

// The isolate of a name that is cut off for lack of room is closed.
func TestCutNamesAreIsolated(t *testing.T) {
	for w := range 90 {
		m := still(t)
		m.conversation(client.User(2)).name = strings.Repeat(hebrew, 5)
		m.openConversation(m.conversation(client.User(2)))
		m.notify(strings.Repeat(arabic+" ", 9))
		m.Update(tea.WindowSizeMsg{Width: w, Height: 12})
		for _, row := range strings.Split(m.View().Content, "\n") {
			if row = ansi.Strip(row); strings.Count(row, "\u2068") != strings.Count(row, "\u2069") {
				t.Fatalf("at width %d: an isolate isn't closed in %q", w, row)
			}
		}
	}
}
