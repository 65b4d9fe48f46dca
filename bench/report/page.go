package report

import (
	"bytes"
	"embed"
	"fmt"
	htmltemplate "html/template"
	"strings"

	"chatd/bench/report/plot"
)

//go:embed page.html page.css
var pages embed.FS

// Sizes of plots. Pages have each plot for wide and for narrow screens, because
// scaled text can't be read.
const (
	wideWidth, wideHeight     = 520, 300
	narrowWidth, narrowHeight = 318, 260
	// dotsLimit is the largest number of samples for which each gets a tooltip.
	dotsLimit = 120
	// maxTail is where the percentile axis ends: one message in a billion.
	maxTail = 1e9
)

// tile is a figure shown in large type.
type tile struct {
	Value, Unit, Name string
}

// pagePlot is one plot in two sizes.
type pagePlot struct {
	Wide, Narrow htmltemplate.HTML
}

// page returns the report as a self-contained HTML page.
func (r *Report) page() ([]byte, error) {
	t, err := htmltemplate.New("page.html").Funcs(htmltemplate.FuncMap{"thousands": FormatCount, "micros": FormatMicros}).ParseFS(pages, "page.html")
	if err != nil {
		return nil, fmt.Errorf("parse the page's template: %w", err)
	}
	css, err := pages.ReadFile("page.css")
	if err != nil {
		return nil, err
	}
	var plots []pagePlot
	for _, c := range r.charts() {
		// SVG escapes all texts, so its output is safe as HTML.
		plots = append(plots, pagePlot{htmltemplate.HTML(c.SVG(wideWidth, wideHeight)), htmltemplate.HTML(c.SVG(narrowWidth, narrowHeight))})
	}
	figures, processes := r.costs()
	data := struct {
		*Report
		Style              htmltemplate.CSS
		Began, Outcome     string
		Measured           string
		Good               bool
		Flags, Remarks     []string
		Tiles              []tile
		Plots              []pagePlot
		Plain              []Figure
		Columns            []string
		Processes          []processCost
		Refused            int64
		ServerText, System string
	}{
		Report: r, Style: htmltemplate.CSS(string(css) + plot.Style), Began: r.Began.Format("2006-01-02 15:04:05 MST"),
		Outcome: r.outcome(), Measured: r.measured().String(), Good: r.Good() && !r.Interrupted, Flags: r.flags(), Remarks: r.remarks(),
		Tiles: r.tiles(), Plots: plots, Plain: figures, Processes: processes, Refused: r.refusals(),
		ServerText: r.Server.String(), System: r.Machine.String(),
	}
	for _, c := range processColumns {
		data.Columns = append(data.Columns, c.title)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, &data); err != nil {
		return nil, fmt.Errorf("render the page: %w", err)
	}
	return b.Bytes(), nil
}

// picture returns an SVG with rates and latencies, for documents.
func (r *Report) picture() []byte {
	var charts []*plot.Chart
	if c := r.rates(); c != nil {
		charts = append(charts, c)
	}
	if c := r.percentiles(); c != nil {
		charts = append(charts, c)
	}
	subtitle := strings.Join(append(r.flags(), "· "+r.Began.Format("2006-01-02")), " ")
	return plot.File("chatbench "+r.Scenario, subtitle, charts, wideWidth, wideHeight)
}

// tiles returns what readers ask for first: the first figures that don't belong
// to a process, and the last latency, which is end to end.
func (r *Report) tiles() []tile {
	var tiles []tile
	figures, _ := r.costs()
	for _, f := range figures[:min(2, len(figures))] {
		tiles = append(tiles, tile{FormatCount(f.Value), f.Unit, f.Name})
	}
	if n := len(r.Latencies); n > 0 {
		l := r.Latencies[n-1]
		tiles = append(tiles, tile{FormatMicros(l.P50), "p50", l.Name}, tile{FormatMicros(l.P99), "p99", l.Name})
	}
	return tiles
}

func (r *Report) charts() []*plot.Chart {
	var charts []*plot.Chart
	for _, c := range []*plot.Chart{r.percentiles(), r.rates(), r.delays()} {
		if c != nil {
			charts = append(charts, c)
		}
	}
	return charts
}

// percentiles plots all latency distributions. It returns nil if there are
// none.
func (r *Report) percentiles() *plot.Chart {
	c := &plot.Chart{Title: "Latency by percentile", XLabel: "percentile",
		X: plot.Axis{Log: true}, Y: plot.Axis{Log: true, Format: microsTick}}
	c.X.Ticks = append(c.X.Ticks, plot.Tick{Value: 1, Label: "0"}, plot.Tick{Value: 2, Label: "50"}, plot.Tick{Value: 10, Label: "90"})
	for nines, tail := 1, 100.0; tail <= maxTail; nines, tail = nines+1, tail*10 {
		label := "99"
		if nines > 1 {
			label += "." + strings.Repeat("9", nines-1)
		}
		c.X.Ticks = append(c.X.Ticks, plot.Tick{Value: tail, Label: label})
	}
	for _, l := range r.Latencies {
		s := plot.Series{Name: l.Name}
		for _, p := range l.curve() {
			note := fmt.Sprintf("%s: %g %% within %s", l.Name, p.Percentile, FormatMicros(p.Us))
			s.Points = append(s.Points, plot.Point{X: p.tail(l.Count), Y: float64(max(p.Us, 1)), Note: note})
		}
		if len(s.Points) > 0 {
			c.Series = append(c.Series, s)
		}
	}
	if len(c.Series) == 0 {
		return nil
	}
	return c
}

// rates plots all rates over time. It returns nil without samples.
func (r *Report) rates() *plot.Chart {
	c := &plot.Chart{Title: "Rate per second", XLabel: "seconds", Y: plot.Axis{Zero: true, Format: countTick}}
	return r.overTime(c, func(s Series) string { return s.Rate }, func(s *Sample, i int) (float64, string) {
		return valueAt(s.Rates, i), FormatCount(valueAt(s.Rates, i)) + "/s"
	})
}

// delays plots the p99 of all latencies over time. It returns nil without
// samples.
func (r *Report) delays() *plot.Chart {
	c := &plot.Chart{Title: "p99 second by second", XLabel: "seconds", Y: plot.Axis{Zero: true, Format: microsTick}}
	return r.overTime(c, func(s Series) string { return s.Latency }, func(s *Sample, i int) (float64, string) {
		return float64(valueAt(s.P99us, i)), FormatMicros(valueAt(s.P99us, i))
	})
}

// overTime adds one value of each sample to c.
func (r *Report) overTime(c *plot.Chart, name func(Series) string, value func(s *Sample, i int) (float64, string)) *plot.Chart {
	if len(r.Samples) == 0 {
		return nil
	}
	c.X = plot.Axis{Zero: true, Format: FormatCount}
	for i, what := range r.sampledSeries() {
		line := plot.Series{Name: name(what)}
		if line.Name == "" {
			continue // the series has no such value
		}
		seconds := 0.0
		for j := range r.Samples {
			s := &r.Samples[j]
			seconds += s.Seconds
			v, text := value(s, i)
			p := plot.Point{X: seconds, Y: v}
			if len(r.Samples) <= dotsLimit {
				p.Note = fmt.Sprintf("%s: %s in second %.0f", line.Name, text, seconds)
			}
			line.Points = append(line.Points, p)
		}
		c.Series = append(c.Series, line)
	}
	return c
}
