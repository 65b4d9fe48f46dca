package report

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

// maxSaved bounds the size of a file with reports. A run of ten minutes has
// some hundred KiB.
const maxSaved = 256 << 20

// Saved is the content of a file: reports of runs, or one trial.
type Saved struct {
	Reports []*Report
	Trial   *Trial
}

// ReadSaved reads a file that --json has written. Several such files may be
// concatenated; they count as several runs.
func ReadSaved(name string) (*Saved, error) {
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
		return nil, fmt.Errorf("%s: larger than %d MiB", name, maxSaved>>20)
	}
	s := &Saved{}
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
			return nil, fmt.Errorf("%s: not a chatbench report: %w, before byte %d", name, err, d.InputOffset())
		}
	}
	switch {
	case s.Trial == nil && len(s.Reports) == 0:
		return nil, fmt.Errorf("%s: the file is empty, not a chatbench report", name)
	case s.Trial != nil && len(s.Reports) > 0:
		return nil, fmt.Errorf("%s: the file has both a report of ab and other reports", name)
	}
	return s, nil
}

func (s *Saved) add(raw json.RawMessage) error {
	var kind struct {
		Scenario string          `json:"scenario"`
		Rounds   json.RawMessage `json:"rounds"`
	}
	if err := json.Unmarshal(raw, &kind); err != nil {
		return err
	}
	if kind.Rounds != nil {
		if s.Trial != nil {
			return errors.New("a second report of ab")
		}
		s.Trial = &Trial{}
		if err := json.Unmarshal(raw, s.Trial); err != nil {
			return err
		}
		for i, r := range s.Trial.Rounds {
			for side, rep := range map[string]*Report{"A": r.A, "B": r.B} {
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
	r := &Report{}
	if err := json.Unmarshal(raw, r); err != nil {
		return err
	}
	if err := r.check(); err != nil {
		return err
	}
	s.Reports = append(s.Reports, r)
	return nil
}

// check returns an error if r can't be a report of this program.
func (r *Report) check() error {
	if r.Scenario == "" {
		return errors.New("scenario missing")
	}
	for _, f := range r.Figures {
		if f.Better != Higher && f.Better != Lower {
			return fmt.Errorf("figure %q has better: %q, which is neither %q nor %q", f.Name, f.Better, Higher, Lower)
		}
	}
	return nil
}

// Side is one side of a comparison: runs of the same scenario.
type Side struct {
	name    string
	Reports []*Report
}

// readSide reads a file of reports. With :a or :b appended to its name, it
// reads that side of a report of ab.
func readSide(name string) (*Side, error) {
	file, which := name, ""
	if _, err := os.Stat(name); errors.Is(err, fs.ErrNotExist) {
		for _, suffix := range []string{":a", ":b"} {
			if before, ok := strings.CutSuffix(name, suffix); ok {
				file, which = before, suffix
			}
		}
	}
	s, err := ReadSaved(file)
	if err != nil {
		return nil, err
	}
	sd := &Side{name: name, Reports: s.Reports}
	switch {
	case s.Trial == nil && which != "":
		return nil, fmt.Errorf("%s: :a and :b are only for a report of ab, which this isn't", file)
	case s.Trial != nil && which == "":
		return nil, fmt.Errorf("%s: a report of ab has two sides: choose %s:a or %s:b, or compare the file alone", file, file, file)
	case s.Trial != nil:
		a, b := s.Trial.Sides()
		if sd.Reports = a.Reports; which == ":b" {
			sd.Reports = b.Reports
		}
	}
	return sd, sd.check()
}

// check returns an error if there is nothing to compare, or more than one
// scenario.
func (s *Side) check() error {
	if len(s.Reports) == 0 {
		return fmt.Errorf("%s: no round was completed", s.name)
	}
	for i, r := range s.Reports {
		if r.Scenario != s.Reports[0].Scenario {
			return fmt.Errorf("%s: has runs of different scenarios, %s and %s", s.name, s.Reports[0].Scenario, r.Scenario)
		}
		if len(r.Figures)+len(r.Latencies) == 0 {
			return fmt.Errorf("%s: run %d has no figures: %s", s.name, i+1, r.outcome())
		}
	}
	return nil
}
