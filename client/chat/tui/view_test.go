package tui

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"chatd/client"
	"chatd/client/chat/widget"
)

// still returns the model of a logged-in user, without a server.
func still(t *testing.T) *model {
	t.Helper()
	box := newMailbox()
	c, err := client.New(client.Config{Addrs: []string{"127.0.0.1:1"}, Handlers: box.handlers()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		box.close()
		_ = c.Close()
	})
	m := newModel(context.Background(), Config{Server: "127.0.0.1:6000"}, c, box)
	m.now = func() time.Time { return noon.Add(time.Hour) }
	m.loginForm, m.myID, m.myName, m.state = nil, 1, "alice", client.LoggedIn
	for i := range 12 {
		v := m.conversation(client.User(int64(i + 2)))
		v.name = fmt.Sprint("user", i+2)
		v.lastTime = noon.Add(time.Duration(-i) * time.Minute)
	}
	m.conversation(client.User(3)).name = "小明 with a long name 👩‍👩‍👧"
	g := m.conversation(client.Group(9))
	g.name, g.lastTime = "tea", noon.Add(-time.Hour)
	m.descriptions[g.id], m.memberCounts[g.id] = "what we drink 🍵, \u202eand more of it than fits into any header of any screen", 3
	b := m.conversation(client.User(2))
	b.addPage(pageOf(1, 60, true, pageLast, 20, 60))
	for i, s := range []string{"你好 🎉 👩‍👩‍👧 ❤️ e\u0301", "\x1b[2J\u202e\n\n\tx", strings.Repeat("long ", 50), strings.Repeat("世", 60), ""} {
		b.receive(client.Message{Conv: b.id, Seq: int64(61 + i), From: 2, Name: "bob\x07", Text: s, Time: noon}, 1)
	}
	b.addPending(1, 1, "alice", "waits", noon)
	b.addPending(2, 1, "alice", "fails", noon)
	b.completeSend(2, client.Receipt{}, "the reason is a long one, and has an \x1b in it")
	m.conversation(client.User(4)).last = 1234
	m.convList.update(m.conversations)
	return m
}

// TestEverySize checks, for many screens and window sizes, that each row is
// exactly as wide as the window, that there are not too many rows, and that the
// cursor is inside the window. One column too many would shift the rest of the
// screen.
func TestEverySize(t *testing.T) {
	scenes := map[string]func(m *model){
		"login":    func(m *model) { m.askLogin(false, "a problem that takes more than one row in a small window") },
		"register": func(m *model) { m.askLogin(true, ""); m.loginForm.Fields[0].Set(strings.Repeat("name", 20)) },
		"list":     func(*model) {},
		"open":     func(m *model) { m.openConversation(m.conversation(client.User(2))) },
		"scrolled": func(m *model) { m.openConversation(m.conversation(client.User(2))); m.scroll(7) },
		"group":    func(m *model) { m.openConversation(m.conversation(client.Group(9))) },
		"offline": func(m *model) {
			m.openConversation(m.conversation(client.User(2)))
			m.state, m.offlineReason, m.retryAt = client.Disconnected, "connection refused", time.Now().Add(time.Hour)
		},
		"typing": func(m *model) {
			m.openConversation(m.conversation(client.User(2)))
			m.open.typing[2] = typist{"bob", m.now().Add(time.Hour)}
			m.input.Set("several\nlines of 你好\nthat are typed " + strings.Repeat("x", 200))
		},
		"menu": func(m *model) {
			m.openConversation(m.conversation(client.User(2)))
			m.input.Set("/")
			m.updateCompletions()
		},
		"choose": func(m *model) { m.input.Set("/chat "); m.updateCompletions() },
		"help":   func(m *model) { m.cmdHelp(nil) },
		"names": func(m *model) {
			// Code points and clusters of these have different widths.
			m.overlay = &widget.Overlay{Title: "Members of क्षि"}
			for _, name := range []string{"क्षि", "🇩🇪", "👍🏽", "❤️"} {
				m.overlay.Add(name, "online")
				m.conversation(client.User(5)).name += name
			}
		},
		"search": func(m *model) { m.openConversation(m.conversation(client.User(2))); m.cmdSearch([]string{"t"}) },
		"passwd": func(m *model) { m.cmdPasswd(nil) },
		"ask":    func(m *model) { m.confirm("Dismiss a group with a name that is longer than the window?", nil) },
		"failed": func(m *model) { m.notifyError("what went wrong, at length, \x1b[2J and hostile") },
	}
	at := ""
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("%s: panic: %v", at, r)
		}
	}()
	for name, scene := range scenes {
		for _, clusters := range []bool{false, true} {
			m := still(t)
			m.setWidthMode(clusters)
			width := ansi.StringWidthWc
			if clusters {
				width = ansi.StringWidth
			}
			scene(m)
			for _, w := range []int{0, 1, 2, 5, 13, 20, 44, 59, 60, 80, 133} {
				for _, h := range []int{0, 1, 2, 3, 4, 6, 9, 12, 24} {
					m.Update(tea.WindowSizeMsg{Width: w, Height: h})
					at = fmt.Sprintf("%s at %d×%d", name, w, h)
					v := m.View()
					rows := strings.Split(v.Content, "\n")
					if len(rows) > max(h, 1) {
						t.Errorf("%s at %d×%d: %d rows, want at most %d", name, w, h, len(rows), max(h, 1))
					}
					for i, row := range rows {
						if got := width(row); got != w && (row != "" || h > 0) {
							t.Errorf("%s at %d×%d (clusters: %v): row %d has %d columns, want %d: %q", name, w, h, clusters, i, got, w, ansi.Strip(row))
						}
						if strings.ContainsAny(ansi.Strip(row), "\x1b\x07\t\u202e") {
							t.Errorf("%s at %d×%d: row %d has control characters: %q", name, w, h, i, ansi.Strip(row))
						}
					}
					if c := v.Cursor; c != nil && (c.X < 0 || c.Y < 0 || c.X >= w || c.Y >= h) {
						t.Errorf("%s at %d×%d: the cursor is at column %d, row %d, outside the window", name, w, h, c.X, c.Y)
					}
					if t.Failed() {
						t.FailNow()
					}
				}
			}
		}
	}
}
