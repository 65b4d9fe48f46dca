// Package plot draws line charts as SVG. It uses only the standard library, its
// output loads nothing, and it is legible in light and dark mode.
//
// All functions are safe for concurrent use, and neither block nor fail. Texts
// are escaped. Values that can't be drawn (NaN, infinite, 0 or less on a
// logarithmic axis) are left out.
package plot

import (
	"bytes"
	_ "embed"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Style is the CSS that charts in a page need, once. A File brings its own.
//
//go:embed style.css
var Style string

// colors is how many series style.css has colors for.
const colors = 6

// Point is one value of a series.
type Point struct {
	X, Y float64
	Note string // tooltip; "": none
}

// Series is one line of a chart.
type Series struct {
	Name   string
	Points []Point
}

// Chart is a set of series over the same axes.
type Chart struct {
	Title  string
	X, Y   Axis
	XLabel string
	Series []Series
}

// Margins in pixels.
const (
	titleHeight  = 22
	legendHeight = 20
	bottom       = 38
	right        = 18
	letter       = 6.6 // approximate width of a letter in a label
	tickHeight   = 40  // approximate distance between two ticks of y
)

// SVG draws the chart as an element for a page that contains Style.
func (c *Chart) SVG(width, height int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`,
		width, height, width, height, escape(c.Title))
	c.draw(&b, width, height, true)
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// File returns an SVG file with charts side by side, below a title and a
// subtitle. Each chart has the given width and height. It is a picture for
// documents, so it has no tooltips.
func File(title, subtitle string, charts []*Chart, width, height int) []byte {
	const margin, head = 16, 64
	var b bytes.Buffer
	whole := margin + max(1, len(charts))*(width+margin)
	all := head + height + margin
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="plot" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-label="%s">`,
		whole, all, whole, all, escape(title))
	fmt.Fprintf(&b, "\n<style>%s</style>\n", Style)
	fmt.Fprintf(&b, `<rect class="surface" width="%d" height="%d" rx="8"/>`, whole, all)
	fmt.Fprintf(&b, `<text class="head" x="%d" y="30">%s</text>`, margin, escape(title))
	fmt.Fprintf(&b, `<text class="muted" x="%d" y="48">%s</text>`, margin, escape(shorten(subtitle, float64(whole-2*margin))))
	b.WriteByte('\n')
	for i, c := range charts {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`, margin+i*(width+margin), head)
		c.draw(&b, width, height, false)
		b.WriteString("</g>\n")
	}
	if len(charts) == 0 {
		fmt.Fprintf(&b, `<text class="muted" x="%d" y="%d">Nothing was measured.</text>`, margin, head+20)
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}

// draw draws the chart at the origin.
func (c *Chart) draw(b *bytes.Buffer, width, height int, notes bool) {
	fmt.Fprintf(b, `<text class="title" x="0" y="14">%s</text>`, escape(c.Title))
	xLo, xHi, yLo, yHi := c.bounds()
	if xLo > xHi {
		fmt.Fprintf(b, `<text class="muted" x="0" y="%d">no data</text>`, titleHeight+14)
		return
	}
	top := titleHeight + 8
	if len(c.Series) > 1 {
		top += legendHeight * c.legend(b, float64(width))
	}
	y, yTicks := c.Y.layout(yLo, yHi, max(2, (height-top-bottom)/tickHeight))
	left := 0.0
	for _, t := range yTicks {
		left = max(left, letter*float64(utf8.RuneCountInString(t.Label))+10)
	}
	x, xTicks := c.X.layout(xLo, xHi, max(2, (width-int(left)-right)/70))
	if c.X.Ticks == nil && !c.X.Log {
		x.hi = max(xHi, x.lo+1e-9) // lines end at the edge, wherever the last tick is
	}
	x.from, x.to = left, float64(width-right)
	y.from, y.to = float64(height-bottom), float64(top)

	for _, t := range yTicks {
		at := y.at(t.Value)
		fmt.Fprintf(b, `<path class="grid" d="M%s %sH%s"/>`, num(x.from), num(at), num(x.to))
		fmt.Fprintf(b, `<text class="tick" x="%s" y="%s" text-anchor="end">%s</text>`, num(left-8), num(at+4), escape(t.Label))
	}
	b.WriteByte('\n')
	fmt.Fprintf(b, `<path class="axis" d="M%s %sH%s"/>`, num(x.from), num(y.from), num(x.to))
	end := math.Inf(-1) // of the previous label
	for _, t := range xTicks {
		at, half := x.at(t.Value), letter*float64(utf8.RuneCountInString(t.Label))/2
		if t.Value > x.hi || at-half < end+4 {
			continue
		}
		shown := min(at, float64(width)-half)
		end = shown + half
		fmt.Fprintf(b, `<path class="axis" d="M%s %sv4"/>`, num(at), num(y.from))
		fmt.Fprintf(b, `<text class="tick" x="%s" y="%s" text-anchor="middle">%s</text>`, num(shown), num(y.from+17), escape(t.Label))
	}
	fmt.Fprintf(b, `<text class="tick" x="%s" y="%s" text-anchor="end">%s</text>`, num(x.to), num(float64(height-4)), escape(c.XLabel))
	b.WriteByte('\n')
	for i := range c.Series {
		c.Series[i].draw(b, i%colors, x, y, notes)
	}
}

// legend draws the names of the series and returns how many lines it took.
func (c *Chart) legend(b *bytes.Buffer, width float64) (lines int) {
	x, lines := 0.0, 1
	for i, s := range c.Series {
		name := shorten(s.Name, width-40)
		w := 28 + letter*float64(utf8.RuneCountInString(name)) + 18
		if x > 0 && x+w > width {
			x = 0
			lines++
		}
		y := float64(titleHeight + legendHeight*lines - 10)
		fmt.Fprintf(b, `<path class="line s%d" d="M%s %sh22"/>`, i%colors, num(x), num(y))
		fmt.Fprintf(b, `<text class="label" x="%s" y="%s">%s</text>`, num(x+28), num(y+4), escape(name))
		x += w
	}
	b.WriteByte('\n')
	return lines
}

func (s *Series) draw(b *bytes.Buffer, color int, x, y scale, notes bool) {
	var path strings.Builder
	var dots bytes.Buffer
	n := 0
	for _, p := range s.Points {
		if !drawn(p, x.log, y.log) {
			continue
		}
		step := "L"
		if n == 0 {
			step = "M"
		}
		n++
		px, py := num(x.at(p.X)), num(y.at(p.Y))
		path.WriteString(step + px + " " + py)
		if notes && p.Note != "" {
			fmt.Fprintf(&dots, `<circle class="dot s%d" cx="%s" cy="%s" r="7"><title>%s</title></circle>`, color, px, py, escape(p.Note))
		}
	}
	switch n {
	case 0:
		return
	case 1: // a line of one point would be invisible
		path.WriteString("h.01")
		fmt.Fprintf(b, `<path class="line one s%d" d="%s"/>`, color, path.String())
	default:
		fmt.Fprintf(b, `<path class="line s%d" d="%s"/>`, color, path.String())
	}
	b.WriteByte('\n')
	b.Write(dots.Bytes())
	b.WriteByte('\n')
}

// bounds returns the range of the data. Without data, low is above high.
func (c *Chart) bounds() (xLo, xHi, yLo, yHi float64) {
	xLo, yLo = math.Inf(1), math.Inf(1)
	xHi, yHi = math.Inf(-1), math.Inf(-1)
	for _, s := range c.Series {
		for _, p := range s.Points {
			if drawn(p, c.X.Log, c.Y.Log) {
				xLo, xHi = min(xLo, p.X), max(xHi, p.X)
				yLo, yHi = min(yLo, p.Y), max(yHi, p.Y)
			}
		}
	}
	return xLo, xHi, yLo, yHi
}

// drawn reports whether p can be drawn on these axes.
func drawn(p Point, logX, logY bool) bool {
	fine := func(v float64, log bool) bool {
		return !math.IsNaN(v) && math.Abs(v) < 1e300 && (!log || v > 1e-300)
	}
	return fine(p.X, logX) && fine(p.Y, logY)
}

func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// shorten cuts text so that it fits into width.
func shorten(text string, width float64) string {
	room := max(1, int(width/letter))
	if utf8.RuneCountInString(text) <= room {
		return text
	}
	return string([]rune(text)[:room-1]) + "…"
}

func escape(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // writes to memory
	return b.String()
}
