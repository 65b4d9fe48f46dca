package test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// operations returns the text of docs/operations.md.
func operations(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestClientsAreDocumented checks that docs/clients.md contains the examples exactly as
// the tests run them, and that they are short.
func TestClientsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	for _, block := range []struct {
		language, file string
		maxLines       int // longer examples aren't read
	}{
		{"python", "first/first.py", 60}, {"js", "first/first.mjs", 60}, {"go", "first/first.go", 90},
		{"go", "client.go", 190}, {"python", "client.py", 190}, {"js", "client.mjs", 190},
	} {
		code, err := os.ReadFile("docs/examples/" + block.file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(doc, "\n```"+block.language+"\n"+string(code)+"```\n") {
			t.Errorf("docs/clients.md doesn't contain docs/examples/%s verbatim", block.file)
		}
		if n := strings.Count(string(code), "\n"); n > block.maxLines {
			t.Errorf("docs/examples/%s has %d lines, want at most %d", block.file, n, block.maxLines)
		}
		if n := ownLines(string(code)); strings.HasPrefix(block.file, "first/") && n > 60 {
			t.Errorf("docs/examples/%s has %d lines of its own, want at most 60", block.file, n)
		}
	}
	_, sdk, _ := strings.Cut(doc, "**Go**")
	_, sdk, _ = strings.Cut(sdk, "\n```go\n")
	sdk, _, found := strings.Cut(sdk, "\n```\n")
	examples, err := os.ReadFile("client/example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if !found || !strings.Contains(string(examples), "\n\t"+strings.ReplaceAll(sdk, "\n", "\n\t")+"\n") {
		t.Error("client/example_test.go doesn't contain the Go SDK example of docs/clients.md verbatim")
	}
	files, err := filepath.Glob("docs/examples/*.*")
	if err != nil {
		t.Fatal(err)
	}
	short, err := filepath.Glob("docs/examples/first/*.*")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 || len(short) == 0 {
		t.Fatal("docs/examples has no examples")
	}
	for _, f := range append(files, short...) {
		if !strings.Contains(doc, "("+strings.TrimPrefix(f, "docs/")+")") {
			t.Errorf("docs/clients.md doesn't link to %s", f)
		}
	}
}

// The README's examples of the SDKs are those of docs/clients.md, which are
// compiled or run by tests.
func TestReadmeShowsTestedExamples(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := os.ReadFile("docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, language := range []string{"go", "js"} {
		_, code, _ := strings.Cut(string(readme), "\n```"+language+"\n")
		code, _, found := strings.Cut(code, "\n```\n")
		if !found {
			t.Errorf("README.md has no example in %s", language)
			continue
		}
		code = strings.Replace(code, `"chatd-sdk"`, `"./client/web/sdk/chatd.js"`, 1)
		if !strings.Contains(string(doc), "\n```"+language+"\n"+code+"\n```\n") {
			t.Errorf("docs/clients.md doesn't have the README's example in %s; it must have:\n%s", language, code)
		}
	}
}

// ownLines counts the lines of a short client, without blank lines and comments. To
// compare languages fairly, it doesn't count lines that only Go needs: the package
// clause, imports, and closing braces.
func ownLines(code string) (n int) {
	for line := range strings.Lines(code) {
		line = strings.TrimSpace(line)
		switch {
		case strings.Trim(line, "})") == "", strings.HasPrefix(line, "//"), line == "import (", strings.HasPrefix(line, `"`), strings.HasPrefix(line, "package "):
		default:
			n++
		}
	}
	return n
}

var (
	docLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	noSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// TestLinksLead checks that links between documents lead to existing files and
// headings.
func TestLinksLead(t *testing.T) {
	docs := []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "bench/results.md"}
	for _, pattern := range []string{"docs/*.md", "*/DESIGN.md", "*/*/DESIGN.md", "client/web/README.md", "client/web/*/README.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 && pattern == "docs/*.md" {
			t.Fatalf("Glob(%q) = %q, %v", pattern, found, err)
		}
		docs = append(docs, found...)
	}
	for _, doc := range docs {
		text, err := os.ReadFile(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range docLink.FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, part, _ := strings.Cut(m[1], "#")
			target := doc
			if file != "" {
				target = filepath.Join(filepath.Dir(doc), file)
			}
			at, err := os.ReadFile(target)
			if info, statErr := os.Stat(target); statErr == nil && info.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s: broken link %s: %v", doc, m[1], err)
				continue
			}
			found := part == ""
			for _, h := range heading.FindAllStringSubmatch(string(at), -1) {
				found = found || part == strings.ReplaceAll(noSlug.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-")
			}
			if !found {
				t.Errorf("%s: broken link %s: no such heading", doc, m[1])
			}
		}
	}
}
