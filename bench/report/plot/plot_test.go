package plot

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
)

// texts parses an SVG and returns its texts and the number of each element.
func texts(t *testing.T, svg []byte) (visible []string, elements map[string]int) {
	t.Helper()
	elements = make(map[string]int)
	for d := xml.NewDecoder(strings.NewReader(string(svg))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return visible, elements
		}
		if err != nil {
			t.Fatalf("SVG is not well-formed: %v\n%s", err, svg)
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
			for _, a := range token.Attr {
				if strings.Contains(a.Value, "NaN") || strings.Contains(a.Value, "Inf") {
					t.Errorf("element %s has %s=%q, want a finite number", token.Name.Local, a.Name.Local, a.Value)
				}
			}
		case xml.CharData:
			visible = append(visible, string(token))
		}
	}
}

func line(values ...float64) Series {
	s := Series{Name: "a line"}
	for i, v := range values {
		s.Points = append(s.Points, Point{X: float64(i), Y: v, Note: fmt.Sprint(v)})
	}
	return s
}

// Any data gives well-formed SVG without NaN or infinity: a browser doesn't
// draw a path that has one.
func TestAnyData(t *testing.T) {
	for name, series := range map[string][]Series{
		"nothing":         nil,
		"empty":           {{Name: "empty"}},
		"one point":       {line(7)},
		"zero":            {line(0, 0, 0)},
		"no change":       {line(5, 5)},
		"not numbers":     {line(math.NaN(), math.Inf(1), math.Inf(-1), 3, 4)},
		"only not number": {line(math.NaN())},
		"tiny and huge":   {line(1e-12, 1e12)},
		"below zero":      {line(-3, 4)},
		"close together":  {line(1e9, 1e9+1e-3)},
		"many series":     {line(1), line(2), line(3), line(4), line(5), line(6), line(7, 8)},
	} {
		for _, log := range []bool{false, true} {
			c := &Chart{Title: name, X: Axis{Zero: true}, Y: Axis{Log: log}, Series: series}
			texts(t, c.SVG(320, 240))
			texts(t, c.SVG(10, 10))
			if _, elements := texts(t, File(name, "", []*Chart{c, c}, 520, 300)); elements["style"] != 1 || elements["g"] != 2 {
				t.Errorf("%s: file has elements %v, want 1 style and 2 groups", name, elements)
			}
		}
	}
	if visible, _ := texts(t, File("nothing", "", nil, 520, 300)); !slices.Contains(visible, "Nothing was measured.") {
		t.Errorf("file without charts has texts %q, want \"Nothing was measured.\"", visible)
	}
}

// Names come from files and command lines. They are shown as text, never as
// markup.
func TestHostileTexts(t *testing.T) {
	const hostile = `</svg><script>alert("1")</script>&'` + "\x00\xff"
	s := line(1, 2)
	s.Name, s.Points[0].Note = hostile, hostile
	c := &Chart{Title: hostile, XLabel: hostile, X: Axis{Ticks: []Tick{{1, hostile}}}, Series: []Series{s, s},
		Y: Axis{Format: func(float64) string { return hostile }}}
	for _, svg := range [][]byte{c.SVG(520, 300), File(hostile, hostile, []*Chart{c}, 520, 300)} {
		visible, elements := texts(t, svg)
		if elements["script"] > 0 || elements["svg"] != 1 {
			t.Errorf("SVG has elements %v, want one svg and no script\n%s", elements, svg)
		}
		if !strings.Contains(strings.Join(visible, "\n"), `</svg><script>alert("1")</script>&'`) {
			t.Errorf("SVG lacks the title as text\n%s", svg)
		}
	}
}

// Points are at the right coordinates on linear and logarithmic axes.
func TestCoordinates(t *testing.T) {
	c := &Chart{X: Axis{Zero: true}, Y: Axis{Log: true}, Series: []Series{{Points: []Point{{0, 1, ""}, {5, 10, ""}, {10, 100, ""}}}}}
	svg := string(c.SVG(500, 300))
	var x, y [3]float64
	_, path, _ := strings.Cut(svg, `class="line s0" d="`)
	if n, err := fmt.Sscanf(path, "M%g %gL%g %gL%g %g", &x[0], &y[0], &x[1], &y[1], &x[2], &y[2]); n != 6 {
		t.Fatalf("no line with 3 points: %v in %s", err, svg)
	}
	if math.Abs(x[0]+x[2]-2*x[1]) > .2 || math.Abs(y[0]+y[2]-2*y[1]) > .2 || x[0] >= x[2] || y[0] <= y[2] {
		t.Errorf("x = %v and y = %v, want evenly spaced values", x, y)
	}
	if y[0] != 300-bottom || x[2] != 500-right {
		t.Errorf("the line from y %v to x %v doesn't end at the edges, y %d and x %d", y[0], x[2], 300-bottom, 500-right)
	}
}

// Ticks are round, enclose the data, and are neither too few nor too many.
func TestTicks(t *testing.T) {
	for _, c := range []struct {
		a      Axis
		lo, hi float64
		want   []float64
	}{
		{Axis{Zero: true}, 3, 93_000, []float64{0, 20_000, 40_000, 60_000, 80_000, 100_000}},
		{Axis{}, 2, 3, []float64{2, 2.2, 2.4, 2.6, 2.8, 3}},
		{Axis{Log: true}, 3, 70, []float64{2, 5, 10, 20, 50, 100}},
		{Axis{Log: true}, 10, 100, []float64{10, 20, 50, 100}},
		{Axis{Log: true}, 3, 90_000, []float64{1, 10, 100, 1000, 10_000, 100_000}},
		{Axis{Log: true}, 1, 2e12, []float64{1, 1e3, 1e6, 1e9, 1e12, 1e15}},
		{Axis{Ticks: []Tick{{1, "a"}, {10, "b"}, {100, "c"}}}, 5, 50, []float64{10}},
	} {
		_, ticks := c.a.layout(c.lo, c.hi, 5)
		var got []float64
		for _, tick := range ticks {
			got = append(got, tick.Value)
		}
		if !slices.EqualFunc(got, c.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9*max(1, b) }) {
			t.Errorf("ticks of %+v from %g to %g = %v, want %v", c.a, c.lo, c.hi, got, c.want)
		}
	}
}
