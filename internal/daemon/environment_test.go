package daemon

import (
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// A file with a password that others can read is found, whichever setting names it.
// Files that contain none, or that only their owner can read, are not.
func TestExposedFiles(t *testing.T) {
	clean(t)
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const secret = "db = \"mysql://chat:hunter2@10.0.0.1/chat\"\n"
	password := write("redis", "hunter2", 0o640)
	mysql := []string{"--db", "mysql://chat@10.0.0.1/chat", "--redis", "redis://10.0.0.2"}
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"for all", []string{"--config", write("all", secret, 0o644)}, []string{"all"}},
		{"for the group", []string{"--config", write("group", secret, 0o640)}, []string{"group"}},
		{"only for its owner", []string{"--config", write("owner", secret, 0o600)}, nil},
		{"no password", []string{"--config", write("plain", "loops = 2\n", 0o644)}, nil},
		{"a user without a password", []string{"--config", write("user", "db = \"mysql://chat@10.0.0.1/chat\"\n", 0o644)}, nil},
		{"the password of Redis", append(mysql, "--redis-password-file", password), []string{"redis"}},
		{"no file", nil, nil},
	} {
		var got []string
		for _, f := range exposed(mustParse(t, c.args...)) {
			got = append(got, filepath.Base(f))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: exposed files %q, want %q", c.name, got, c.want)
		}
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if got := exposed(mustParse(t, "--config", filepath.Join(dir, "all"))); got != nil {
		t.Errorf("a credential of systemd: exposed files %q, want none", got)
	}
}

// A file from Windows, with a byte order mark and its line ends, is read as any other.
func TestFileFromWindows(t *testing.T) {
	clean(t)
	c := mustParse(t, "--config", file(t, bom+"loops = 2\r\norigins = ['https://a.example']\r\n"))
	if c.Reactor.Loops != 2 || !slices.Equal(c.Reactor.Origins, []string{"https://a.example"}) {
		t.Errorf("loops = %d, origins = %q; want 2 and https://a.example", c.Reactor.Loops, c.Reactor.Origins)
	}
}

// A proxy's IPv4 address counts as such, even if it is written as an IPv6 address.
func TestMappedProxy(t *testing.T) {
	clean(t)
	for text, want := range map[string]string{"::ffff:10.0.0.0/104": "10.0.0.0/8", "::ffff:10.0.0.1/128": "10.0.0.1/32", "2001:db8::/32": "2001:db8::/32", "10.0.0.0/8": "10.0.0.0/8"} {
		if got := mustParse(t, "--proxy-protocol", text).Reactor.ProxyProtocol; len(got) != 1 || got[0].String() != want {
			t.Errorf("--proxy-protocol %s = %v, want %s", text, got, want)
		}
	}
}

// --memory limits Go's memory. GOMEMLIMIT does so without it, and a container's limit
// without both.
func TestMemoryLimit(t *testing.T) {
	clean(t)
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	log := newLogger(os.Stderr, "info", "text")
	if got := limitMemory(mustParse(t, "--memory", "100MiB").Memory, log); got != 100<<20 || debug.SetMemoryLimit(-1) != got {
		t.Errorf("with --memory 100MiB, the limit is %d and the runtime's %d; want both 100 MiB", got, debug.SetMemoryLimit(-1))
	}
	t.Setenv("GOMEMLIMIT", "200MiB")
	debug.SetMemoryLimit(200 << 20) // as the runtime does at the start
	if got := limitMemory(0, log); got != 200<<20 {
		t.Errorf("with GOMEMLIMIT=200MiB, the limit is %d, want 200 MiB", got)
	}
	t.Setenv("GOMEMLIMIT", "off")
	debug.SetMemoryLimit(math.MaxInt64)
	if got := limitMemory(0, log); got != 0 {
		t.Errorf("with GOMEMLIMIT=off, the limit is %d, want 0", got)
	}
	t.Setenv("GOMEMLIMIT", "")
	if got := limitMemory(0, log); got != 0 && got < minMemory {
		t.Errorf("without settings, the limit is %d, want 0 or at least %d", got, minMemory)
	}
}

// A shell gets words as they are.
func TestDumpCommand(t *testing.T) {
	for db, want := range map[string]string{
		"mysql://chat:hunter2@[2001:db8::1]/chat": "--host=2001:db8::1 --port=3306 --user=chat --password chat > x.sql)",
		"mysql://o%27b%20c:p@h:1/a":               `--host=h --port=1 --user='o'\''b c' --password a > x.sql)`,
	} {
		if got := dumpCommand(db, "x.sql"); !strings.HasSuffix(got, want) || strings.Contains(got, "hunter2") {
			t.Errorf("dumpCommand(%q) = %s, want … %s without a password", db, got, want)
		}
	}
}
