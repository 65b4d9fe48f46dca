package testbuild

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// ClockTag is a build tag that marks programs built by [Clock]. No source file
// depends on it.
const ClockTag = "clockstep"

// Source files of a program with a clock that can be stepped. They replace or
// extend packages only while Clock builds it.
var (
	//go:embed testdata/clock_time.go.txt
	clockTime []byte
	//go:embed testdata/clock_main.go.txt
	clockMain []byte
)

// The place in Go's time.Now where the offset is added.
const (
	readsClock = "func Now() Time {\n\tsec, nsec, mono := runtimeNow()\n"
	addsOffset = "\tsec += clockOffset.Load()\n"
)

// Clock builds chatd like [Program], but with a wall clock that can be stepped:
// if it is started with --clock-file=PATH, its time.Now is off by the number of
// seconds that the file contains, which may change at any time. Timers and
// measured durations aren't affected, as with a real clock that is set. The
// first call also compiles Go's standard library and blocks for a minute or two.
func Clock(path string) error {
	dir, err := os.MkdirTemp("", "clock-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a leftover in the temporary folder does no harm
	replace, err := writeSources(dir)
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(file, overlay, 0o600); err != nil {
		return err
	}
	return Program(path, "chatd", "-overlay", file, "-tags", ClockTag)
}

// writeSources writes the changed and new source files into dir. It returns which
// of them stands for which path.
func writeSources(dir string) (map[string]string, error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "time", "chatd").Output()
	if err != nil {
		return nil, fmt.Errorf("find the sources of time and chatd: %w", err)
	}
	folders := strings.Fields(string(out))
	if len(folders) != 2 {
		return nil, fmt.Errorf("find the sources of time and chatd: go list printed %q", out)
	}
	original, err := os.ReadFile(filepath.Join(folders[0], "time.go"))
	if err != nil {
		return nil, err
	}
	if n := strings.Count(string(original), readsClock); n != 1 {
		return nil, fmt.Errorf("time.Now of this version of Go has changed: found %q %d times, want once", readsClock, n)
	}
	changed := strings.Replace(string(original), readsClock, readsClock+addsOffset, 1)
	replace := make(map[string]string)
	for path, text := range map[string][]byte{
		filepath.Join(folders[0], "time.go"):         []byte(changed),
		filepath.Join(folders[0], "clock_offset.go"): clockTime,
		filepath.Join(folders[1], "clock_file.go"):   clockMain,
	} {
		replace[path] = filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(replace[path], text, 0o600); err != nil {
			return nil, err
		}
	}
	return replace, nil
}
