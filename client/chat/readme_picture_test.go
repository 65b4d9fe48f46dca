package main

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"image/color"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"chatd/client"
)

var svgFile = flag.String("svg", "", "write the picture of TestPicture to this file")

// maxPicture is the maximum size of the picture in bytes.
const maxPicture = 60 << 10

// TestPicture checks that the picture in the README can be made: an SVG of a
// real screen. With -svg FILE it writes the picture.
func TestPicture(t *testing.T) {
	n := newNode(t)
	alice, bob, carol, ming := n.user("alice"), n.user("bob"), n.user("carol"), n.user("小明")
	for _, other := range []*client.Client{bob, carol, ming} {
		n.befriend(alice, other)
	}
	group := func(c *client.Client, name, about string, others ...*client.Client) client.Conv {
		id, err := c.CreateGroup(n.ctx(), name, about)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range others {
			if _, err := o.JoinGroup(n.ctx(), id); err != nil {
				t.Fatal(err)
			}
		}
		return client.Group(id)
	}
	night := group(bob, "night shift", "", alice, carol)
	tea := group(alice, "tea", "what we drink, and when", bob, carol, ming)
	n.say(carol, night, "The backup is done.", "Good night!")
	n.say(ming, me(alice), "明天见")
	n.say(bob, tea, "Green or black today?")
	n.say(carol, tea, "Black. Four minutes, not five.", "And someone has to buy milk.")
	n.say(ming, tea, "我喝绿茶 🍵")
	if err := carol.Close(); err != nil { // shown as offline
		t.Fatal(err)
	}
	x := n.as("alice", 92, 26)
	x.see("○ carol", "● bob", "# night shift", "小明")
	x.line("/chat tea")
	x.see("我喝绿茶 🍵")
	x.line("I'll get the milk, and something to go with the tea. Does anyone want ginger biscuits?")
	x.see("ginger biscuits", "✓")
	n.say(bob, tea, "Yes, please!")
	x.see("  Yes, please!")
	x.keys("See you at four")
	for !strings.Contains(x.screen(), "bob is typing…") {
		if err := bob.Typing(tea); err != nil {
			t.Fatal(err)
		}
		x.wait(100 * time.Millisecond)
	}
	svg := strings.ReplaceAll(x.svg(), "127.0.0.1:"+n.port, "127.0.0.1:6000 ")
	if len(svg) > maxPicture {
		t.Errorf("the picture has %d bytes, want at most %d", len(svg), maxPicture)
	}
	text := ""
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := tok.(xml.CharData); ok {
			text += string(s)
		}
	}
	for _, want := range []string{"Yes, please!", "我", "night shift", "online"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture has no text %q", want)
		}
	}
	if *svgFile != "" {
		if err := os.WriteFile(*svgFile, []byte(svg), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// Sizes in the picture, in pixels, and default colors.
const (
	cellW, cellH = 8.4, 18.0
	margin       = 12.0
	paper, ink   = "#14171a", "#d3d8de"
	pictureFont  = `ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace`
	baseline     = 13.5
	fontSize     = 14
)

// svg returns the screen as SVG.
func (x *terminal) svg() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	w, h := x.em.Width(), x.em.Height()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" role="img" aria-label="The terminal client of chatd">`+"\n",
		float64(w)*cellW+2*margin, float64(h)*cellH+2*margin)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="8" fill="%s"/>`+"\n", paper)
	fmt.Fprintf(&b, `<g font-family="%s" font-size="%d" fill="%s" xml:space="preserve">`+"\n", pictureFont, fontSize, ink)
	for y := range h {
		for at := 0; at < w; {
			run, look := x.run(at, y)
			if bg := look.bg; bg != "" {
				fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`+"\n",
					margin+float64(at)*cellW, margin+float64(y)*cellH, float64(run.cols)*cellW+0.3, cellH+0.3, bg)
			}
			if s := strings.TrimRight(run.text, " "); strings.TrimSpace(s) != "" {
				lead := len(s) - len(strings.TrimLeft(s, " "))
				s = s[lead:]
				cols := run.cols - lead - (len(run.text) - lead - len(s))
				fmt.Fprintf(&b, `<text x="%.1f" y="%.1f" textLength="%.1f"%s>`, margin+float64(at+lead)*cellW,
					margin+float64(y)*cellH+baseline, float64(cols)*cellW, look.attrs())
				_ = xml.EscapeText(&b, []byte(s))
				b.WriteString("</text>\n")
			}
			at += run.cols
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// look has the colors and weight of a run of cells.
type look struct {
	fg, bg string
	bold   bool
}

func (l look) attrs() (s string) {
	if l.fg != "" {
		s += ` fill="` + l.fg + `"`
	}
	if l.bold {
		s += ` font-weight="bold"`
	}
	return s
}

// stretch is the text of a run of cells.
type stretch struct {
	text string
	cols int
}

// run returns the cells from column at that look alike. A wide cell is a run of
// its own, so that it is in the right place with any font. The caller holds mu.
func (x *terminal) run(at, y int) (r stretch, l look) {
	for ; at < x.em.Width(); at++ {
		c := x.em.CellAt(at, y)
		if c == nil || c.Width < 1 {
			break
		}
		now := look{fg: hex(c.Style.Fg), bg: hex(c.Style.Bg), bold: c.Style.Attrs&1 != 0}
		if r.cols > 0 && (now != l || c.Width > 1) {
			break
		}
		l = now
		r.text += c.Content
		r.cols += c.Width
		if c.Width > 1 {
			break
		}
	}
	if r.cols == 0 {
		r = stretch{" ", 1}
	}
	return r, l
}

// hex returns a color as #rrggbb, or "" for the default.
func hex(c color.Color) string {
	if c == nil {
		return ""
	}
	r, g, b, _ := c.RGBA()
	return fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, b>>8)
}
