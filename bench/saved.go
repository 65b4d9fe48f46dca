package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxSaved bounds a file of reports: the largest has ten minutes of samples,
// some hundred KiB, for each of its runs.
const maxSaved = 256 << 20

// saved is what a file holds: reports of runs, one after the other, or one
// trial.
type saved struct {
	reports []*report
	trial   *trial
}

// readSaved reads a file that --json has written; several of them in one file,
// one after the other, are several runs of the same.
func readSaved(name string) (*saved, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxSaved+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxSaved {
		return nil, fmt.Errorf("%s: more than %d MiB are no reports", name, maxSaved>>20)
	}
	s := &saved{}
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		var raw json.RawMessage
		err := d.Decode(&raw)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = s.add(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: not a report of chatbench: %w, before byte %d", name, err, d.InputOffset())
		}
	}
	switch {
	case s.trial == nil && len(s.reports) == 0:
		return nil, fmt.Errorf("%s: it is empty, and no report of chatbench", name)
	case s.trial != nil && len(s.reports) > 0:
		return nil, fmt.Errorf("%s: it holds rounds of ab and other reports as well", name)
	}
	return s, nil
}

// add takes one value of a file.
func (s *saved) add(raw json.RawMessage) error {
	var kind struct {
		Scenario string          `json:"scenario"`
		Rounds   json.RawMessage `json:"rounds"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return err
	}
	if kind.Rounds != nil {
		if s.trial != nil {
			return errors.New("a second set of rounds")
		}
		s.trial = &trial{}
		if err := json.Unmarshal(raw, s.trial); err != nil {
			return err
		}
		for i, r := range s.trial.Rounds {
			for side, rep := range map[string]*report{"A": r.A, "B": r.B} {
				if rep == nil {
					continue
				}
				if err := rep.check(); err != nil {
					return fmt.Errorf("round %d, %s: %w", i+1, side, err)
				}
			}
		}
		return nil
	}
	r := &report{}
	if err := json.Unmarshal(raw, r); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	s.reports = append(s.reports, r)
	return nil
}

// check says whether a report that was read can be one of ours.
func (r *report) check() error {
	if r.Scenario == "" {
		return errors.New("it names no scenario")
	}
	for _, f := range r.Figures {
		if f.Better != higher && f.Better != lower {
			return fmt.Errorf("figure %q gets better when %q, which is neither %q nor %q", f.Name, f.Better, higher, lower)
		}
	}
	return nil
}

// side is what is compared with another: runs of the same.
type side struct {
	name    string
	reports []*report
}

// readSide reads one side: a file of reports, or with :a or :b behind its name
// that side of a trial's file.
func readSide(name string) (*side, error) {
	file, which := name, ""
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		for _, suffix := range []string{":a", ":b"} {
			if before, ok := strings.CutSuffix(name, suffix); ok {
				file, which = before, suffix
			}
		}
	}
	s, err := readSaved(file)
	if err != nil {
		return nil, err
	}
	sd := &side{name: name, reports: s.reports}
	switch {
	case s.trial == nil && which != "":
		return nil, fmt.Errorf("%s: it has no sides, it is of a single run", file)
	case s.trial != nil && which == "":
		return nil, fmt.Errorf("%s: it has two sides: name one of them, %s:a or %s:b, or give it alone", file, file, file)
	case s.trial != nil:
		a, b := s.trial.sides()
		if sd.reports = a.reports; which == ":b" {
			sd.reports = b.reports
		}
	}
	return sd, sd.check()
}

// check says whether there is one thing to compare.
func (s *side) check() error {
	if len(s.reports) == 0 {
		return fmt.Errorf("%s: no round in it was completed", s.name)
	}
	for i, r := range s.reports {
		if r.Scenario != s.reports[0].Scenario {
			return fmt.Errorf("%s: it holds runs of different scenarios, %s and %s", s.name, s.reports[0].Scenario, r.Scenario)
		}
		if len(r.Figures)+len(r.Latencies) == 0 {
			return fmt.Errorf("%s: run %d has no figures: %s", s.name, i+1, r.outcome())
		}
	}
	return nil
}
