package test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"chatd/internal/realservice"
)

// onlySQLite matches the metrics that only a node with SQLite has, and onlyRedis
// is how those begin that only a node with --redis has.
var onlySQLite = regexp.MustCompile(`^chatd_model_(recent_|disk_|wal_)`)

const onlyRedis = "chatd_bus_"

// namedMetrics returns the metrics of chatd that documents, alerts and dashboard
// name, by file.
func namedMetrics(t *testing.T) map[string][]string {
	t.Helper()
	named := make(map[string][]string)
	for file, pattern := range map[string]string{
		"docs/operations.md":  "`(chatd_[a-z_]+)[`{]",
		"deploy/alerts.yml":   `\b(chatd_[a-z_]+)`,
		"deploy/grafana.json": `\b(chatd_[a-z_]+)`,
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			named[file] = append(named[file], m[1])
		}
		if len(named[file]) == 0 {
			t.Errorf("%s names no metrics", file)
		}
	}
	return named
}

// exportedMetrics returns the names of all metrics of a /metrics page. It checks
// that each has a HELP line with a text, and a TYPE line, before its first value.
func exportedMetrics(t *testing.T, page string) map[string]bool {
	t.Helper()
	names, help, types := make(map[string]bool), make(map[string]string), make(map[string]string)
	for line := range strings.Lines(page) {
		f := strings.Fields(line)
		switch {
		case len(f) > 3 && f[1] == "HELP" && help[f[2]] == "":
			help[f[2]] = strings.Join(f[3:], " ")
		case len(f) == 4 && f[1] == "TYPE" && types[f[2]] == "":
			types[f[2]] = f[3]
		case f[0] == "#":
			t.Errorf("/metrics: unexpected or repeated line %q", line)
		default:
			name, _, _ := strings.Cut(f[0], "{")
			if !names[name] {
				family := name
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					if base, ok := strings.CutSuffix(name, suffix); ok && (types[base] == "histogram" || types[base] == "summary") {
						family = base
					}
				}
				if help[family] == "" || types[family] == "" {
					t.Errorf("/metrics: %s has HELP %q and TYPE %q, want both", name, help[family], types[family])
				}
				names[family] = true
			}
			names[name] = true
		}
	}
	return names
}

// TestMonitoringFiles checks the alerts and the queries of the dashboard with
// promtool, and that the alerts fire when they should. That the metrics exist is
// checked by TestLife and TestCluster.
func TestMonitoringFiles(t *testing.T) {
	promtool := realservice.Promtool(t)
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command(promtool, args...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	write := func(name string, text []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, from := range map[string]string{"alerts.yml": "deploy/alerts.yml", "alerts_test.yml": "test/testdata/alerts_test.yml"} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		write(name, text)
	}
	run("check", "rules", "alerts.yml")
	run("test", "rules", "alerts_test.yml")

	text, err := os.ReadFile("deploy/grafana.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatalf("deploy/grafana.json: %v", err)
	}
	// Recording rules check the queries. Grafana replaces the variables.
	var rules strings.Builder
	rules.WriteString("groups:\n- name: dashboard\n  rules:\n")
	n := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			expr := strings.NewReplacer("$__rate_interval", "1m", "$node", ".*").Replace(target.Expr)
			fmt.Fprintf(&rules, "  - {record: 'query:%d', expr: %q}\n", n, expr)
			n++
		}
	}
	if n < 20 {
		t.Errorf("deploy/grafana.json has %d queries, want at least 20", n)
	}
	write("dashboard.yml", []byte(rules.String()))
	run("check", "rules", "dashboard.yml")
}

// TestAlertsAreTested checks that each alert has a case in which it fires.
func TestAlertsAreTested(t *testing.T) {
	alerts, err := os.ReadFile("deploy/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	cases, err := os.ReadFile("test/testdata/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(string(alerts), -1) {
		if !strings.Contains(string(cases), `alertname="`+m[1]+`"`) {
			t.Errorf("test/testdata/alerts_test.yml has no case in which %s fires", m[1])
		}
		if !strings.Contains(operations(t), "`"+m[1]+"`") {
			t.Errorf("docs/operations.md doesn't say what to do about %s", m[1])
		}
	}
}

// TestOperationsHeadings checks that docs/operations.md has each heading once, and
// says of no metric that only nodes with --redis have it if others have it too.
func TestOperationsHeadings(t *testing.T) {
	doc := operations(t)
	seen := make(map[string]bool)
	for _, m := range heading.FindAllStringSubmatch(doc, -1) {
		if seen[m[1]] {
			t.Errorf("docs/operations.md has the heading %q twice", m[1])
		}
		seen[m[1]] = true
	}
	_, section, found := strings.Cut(doc, "\nOnly on nodes with `--redis`:\n\n")
	table, _, _ := strings.Cut(section, "\n\n")
	if rows := strings.Count(table, "\n| `"); !found || rows < 5 {
		t.Errorf("docs/operations.md lists %d metrics of nodes with --redis, want at least 5", rows)
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(chatd_[a-z_]+)").FindAllStringSubmatch(table, -1) {
		if !strings.HasPrefix(m[1], onlyRedis) {
			t.Errorf("docs/operations.md lists %s as a metric only of nodes with --redis; others have it, too", m[1])
		}
	}
}
