package daemon

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// settingsTable returns the table of settings for docs/operations.md, made from
// the settings' tags.
func settingsTable(t *testing.T) string {
	t.Helper()
	cell := func(s string) string { return strings.ReplaceAll(s, "|", `\|`) }
	var b strings.Builder
	for _, g := range settingGroups {
		for _, f := range settings(t) {
			if groupOf(f) != g.key {
				continue
			}
			byDefault := ""
			if f.HasDefault && f.Default != "" {
				byDefault = "`" + f.Default + "`"
			}
			fmt.Fprintf(&b, "| `--%s` | %s | `%s` | %s |\n", flagUsage(f), byDefault, f.Envs[0], cell(f.Help))
		}
	}
	return b.String()
}

// The table of settings in docs/operations.md matches the program: names,
// defaults, variables and meanings.
func TestSettingsAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	want, doc := settingsTable(t), string(text)
	for row := range strings.Lines(want) {
		if !strings.Contains(doc, row) {
			t.Errorf("docs/operations.md lacks the row\n%s", row)
		}
	}
	for row := range strings.Lines(doc) {
		if strings.HasPrefix(row, "| `--") && !strings.Contains(want, row) {
			t.Errorf("docs/operations.md has a row that matches no setting:\n%s", row)
		}
	}
	if t.Failed() {
		t.Logf("the correct table:\n%s", want)
	}
}

// help returns what chatd prints for --help or --help-all.
func help(t *testing.T, flag string) string {
	t.Helper()
	clean(t)
	var b strings.Builder
	if inv, err := parse([]string{flag}, &b); err != nil || inv.Command != "help" {
		t.Fatalf("parse(%s) = %+v, %v; want the command help", flag, inv, err)
	}
	return b.String()
}

// --help-all shows every setting, so every group of settings has a heading.
func TestHelpAllShowsEverySetting(t *testing.T) {
	all := help(t, "--help-all")
	for _, name := range settingNames(t) {
		if !strings.Contains(all, "  --"+name) {
			t.Errorf("--help-all lacks --%s", name)
		}
	}
}

// --help shows about twenty settings, and the same text about commands as
// --help-all, so that it fits on a screen or two.
func TestHelpIsShort(t *testing.T) {
	short, all := help(t, "--help"), help(t, "--help-all")
	for _, text := range []string{short, all} {
		if !strings.HasPrefix(text, usage) {
			t.Errorf("help doesn't begin with the commands:\n%s", text)
		}
	}
	n := 0
	for _, f := range settings(t) {
		shown := strings.Contains(short, "  --"+flagUsage(f)+" ")
		if shown != f.Tag.Has("common") {
			t.Errorf("--help shows --%s: %v, want %v", f.Name, shown, !shown)
		}
		if shown {
			n++
		}
	}
	if n < 15 || n > 23 {
		t.Errorf("--help shows %d settings, want 15 to 23", n)
	}
	for _, flag := range []string{"--help", "--help-all", "--version", "--config FILE"} {
		if !strings.Contains(short, "  "+flag+" ") {
			t.Errorf("--help lacks %s", flag)
		}
	}
}
