package daemon

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// settingsTable is the table of docs/operations.md as the tags have it.
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

// The operator's table of settings says what the program does: names,
// defaults, variables and meaning.
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
			t.Errorf("docs/operations.md has a row for no setting:\n%s", row)
		}
	}
	if t.Failed() {
		t.Logf("the table as it should be:\n%s", want)
	}
}

// Every group of a setting has its heading, or --help would leave the setting out.
func TestHelpShowsEverySetting(t *testing.T) {
	clean(t)
	var help strings.Builder
	if inv, err := parse([]string{"--help"}, &help); err != nil || inv.Command != "help" {
		t.Fatalf("%+v, %v", inv, err)
	}
	for _, name := range settingNames(t) {
		if !strings.Contains(help.String(), "  --"+name) {
			t.Errorf("--help lacks --%s", name)
		}
	}
}
