package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Output has the flags for the files that a report is written to.
type Output struct {
	JSON string `name:"json" placeholder:"FILE" help:"Write the whole report to FILE as JSON. -: to stdout, instead of the table."`
	HTML string `name:"html" placeholder:"FILE" help:"Write a self-contained HTML page with plots to FILE."`
	SVG  string `name:"svg" placeholder:"FILE" help:"Write an SVG picture to FILE: rates over time, and latencies by percentile."`
}

// Check checks before the run that the files can be written.
func (o *Output) Check() error {
	var bad []error
	for _, f := range []struct{ flag, name string }{{"--json", o.JSON}, {"--html", o.HTML}, {"--svg", o.SVG}} {
		if f.name == "" || f.flag == "--json" && f.name == "-" {
			continue
		}
		folder := filepath.Dir(f.name)
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			bad = append(bad, fmt.Errorf("%s %s: folder %s doesn't exist", f.flag, f.name, folder))
		} else if info, err := os.Stat(f.name); err == nil && info.IsDir() {
			bad = append(bad, fmt.Errorf("%s %s: is a folder", f.flag, f.name))
		}
	}
	return errors.Join(bad...)
}

// Write writes the table to stdout, and the files that o names.
func (r *Report) Write(stdout io.Writer, o *Output) error {
	err := WriteJSON(stdout, o.JSON, r.Table(), r)
	if o.HTML != "" {
		page, pageErr := r.page()
		if pageErr == nil {
			pageErr = os.WriteFile(o.HTML, page, 0o644)
		}
		err = errors.Join(err, pageErr)
	}
	if o.SVG != "" {
		err = errors.Join(err, os.WriteFile(o.SVG, r.picture(), 0o644))
	}
	return err
}

// WriteJSON writes table to stdout and v as JSON into file. If file is "-",
// JSON replaces the table on stdout. If it is "", no JSON is written.
func WriteJSON(stdout io.Writer, file, table string, v any) error {
	if file != "-" {
		if _, err := io.WriteString(stdout, table); err != nil {
			return err
		}
	}
	if file == "" {
		return nil
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if file == "-" {
		_, err = stdout.Write(text)
		return err
	}
	return os.WriteFile(file, text, 0o644)
}
