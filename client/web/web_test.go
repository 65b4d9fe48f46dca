package web

import (
	"bytes"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sources returns the content of the embedded files by name.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	err := fs.WalkDir(Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(Files, name)
		all[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// The page shows texts from other users, so it must not use anything that turns
// text into markup or code, or that its Content Security Policy forbids.
func TestNoCodeFromText(t *testing.T) {
	banned := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|srcdoc|setHTML|\beval\b|new Function|\bon[a-z]+="|javascript:|\sstyle="|setAttribute\('style|<style|set(?:Timeout|Interval)\(['"\x60]`)
	for name, text := range sources(t) {
		if found := banned.FindString(text); found != "" {
			t.Errorf("%s contains %q, which turns text into code or violates the Content Security Policy", name, found)
		}
	}
}

// The page loads nothing from other sites.
func TestNoExternalResources(t *testing.T) {
	address := regexp.MustCompile(`(?:https?:|wss?:)?//[a-zA-Z0-9][\w.-]*`)
	names := regexp.MustCompile(`^http://www\.w3\.org$`) // the SVG namespace, which isn't loaded
	for name, text := range sources(t) {
		for line := range strings.Lines(text) {
			if line, _, _ = strings.Cut(line, "// "); strings.HasPrefix(strings.TrimSpace(line), "*") {
				continue
			}
			for _, found := range address.FindAllString(line, -1) {
				if !names.MatchString(found) && !strings.HasPrefix(found, "//") {
					t.Errorf("%s refers to %s, want only this server", name, found)
				}
			}
		}
	}
}

// The server removes comments line by line (service/ops/webclient.go). So scripts
// must not have strings that span lines, nor code after a comment in the same
// line, and style sheets must not have comments after code.
func TestCommentsCanBeStripped(t *testing.T) {
	for name, text := range sources(t) {
		if path.Ext(name) != ".js" && path.Ext(name) != ".css" {
			continue
		}
		comment := false
		for line := range strings.Lines(text) {
			line = strings.TrimSpace(line)
			if comment || strings.HasPrefix(line, "/*") {
				_, rest, ended := strings.Cut(line, "*/")
				if comment = !ended; rest != "" {
					t.Errorf("%s has code after a comment, which the server would remove: %s", name, line)
				}
				continue
			}
			if strings.HasPrefix(line, "//") {
				continue
			}
			if strings.Count(line, "`")%2 != 0 && !strings.Contains(line, "[^\\s<>\"'`") && !strings.Contains(line, "'`'") {
				t.Errorf("%s has a string that spans lines: %s", name, line)
			}
			if path.Ext(name) == ".css" && strings.Contains(line, "/*") {
				t.Errorf("%s has a comment after code, which the server would not remove: %s", name, line)
			}
		}
	}
}

// A missing text would be shown as "undefined", and an unused one is dead. (A
// test in JavaScript checks that both languages have the same texts.)
func TestTexts(t *testing.T) {
	all := sources(t)
	uses := make(map[string]bool)
	for name, text := range all {
		if path.Dir(name) == "app" {
			for _, m := range regexp.MustCompile(`(?:^|[^.\w]|\.\.\.)text\.(\w+)`).FindAllStringSubmatch(text, -1) {
				uses[m[1]] = true
			}
		}
	}
	// Texts whose names are computed from states.
	for _, name := range []string{"online", "offline", "queued", "sending", "sent", "read", "failed"} {
		uses[name] = true
	}
	has := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^  (\w+)[:,]`).FindAllStringSubmatch(all["app/english.js"], -1) {
		has[m[1]] = true
	}
	for name := range uses {
		if !has[name] {
			t.Errorf("text.%s is used but not defined", name)
		}
	}
	for name := range has {
		if !uses[name] {
			t.Errorf("text.%s is defined but not used", name)
		}
	}
}

// The modules that don't need a browser pass their tests in Node.
func TestModules(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("SKIPPED: the tests of the web client's modules need Node; install it with: apt-get install nodejs")
	}
	files, err := filepath.Glob("test/*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no files test/*.test.js (error: %v)", err)
	}
	cmd := exec.CommandContext(t.Context(), node, append([]string{"--no-warnings", "--test"}, files...)...)
	cmd.Env = append(os.Environ(), "TZ=Europe/Berlin", "LC_ALL=en_US.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("# fail 0")) || bytes.Contains(out, []byte("# pass 0")) {
		t.Errorf("node --test %v: error %v, want at least one test and no failures:\n%s", files, err, out)
	}
}
