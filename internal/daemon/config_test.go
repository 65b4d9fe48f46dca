package daemon

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/alexedwards/argon2id"
)

// clean unsets all CHATD_ variables for the duration of a test.
func clean(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, value, _ := strings.Cut(kv, "="); strings.HasPrefix(name, envPrefix) {
			t.Setenv(name, value) // restores it after the test
			os.Unsetenv(name)
		}
	}
}

func mustParse(t *testing.T, args ...string) *invocation {
	t.Helper()
	inv, err := parse(append([]string{"127.0.0.1", "6000"}, args...), io.Discard)
	if err != nil {
		t.Fatalf("parse(%q): %v", args, err)
	}
	return inv
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "chatd.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Flags override the environment, which overrides the file, which overrides the
// default, for each setting separately.
func TestPrecedence(t *testing.T) {
	clean(t)
	conf := file(t, "loops = 2\nwindow = 20\nmax-groups = 200\norigins = ['https://a.example', 'https://b.example']\nno-limits = false\nmax-held = '2MiB'\nidle-timeout = '2m'")
	t.Setenv("CHATD_LOOPS", "3")
	t.Setenv("CHATD_WINDOW", "30")
	t.Setenv("CHATD_ARGON2", "8,1,1")

	c := mustParse(t, "--loops", "4", "--config", conf)
	for _, v := range []struct {
		name      string
		got, want any
	}{
		{"a flag over environment and file", c.Reactor.Loops, 4},
		{"the environment over the file", c.Service.Session.Window, 30},
		{"the file over the default", c.Service.Groups.MaxGroups, 200},
		{"the default", c.Service.People.MaxFriends, 1000},
		{"a list in the file", strings.Join(c.Reactor.Origins, " "), "https://a.example https://b.example"},
		{"a size in the file", c.Reactor.MaxHeld, 2 << 20},
		{"a time in the file", c.Reactor.IdleTimeout, 2 * time.Minute},
		{"the environment over the default", c.Service.Login.Argon2.Params, argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 32}},
		{"the address", c.Reactor.Addr, "127.0.0.1:6000"},
	} {
		if v.got != v.want {
			t.Errorf("%s = %v, want %v", v.name, v.got, v.want)
		}
	}

	t.Setenv("CHATD_CONFIG", conf)
	if got := mustParse(t).Service.Groups.MaxGroups; got != 200 {
		t.Errorf("with the file named by CHATD_CONFIG, max-groups = %d, want 200", got)
	}
}

// Flags may come before, between and after the positionals. An empty value is a
// value too: it turns off a setting that has a default.
func TestFlagsAnywhere(t *testing.T) {
	clean(t)
	for _, args := range [][]string{
		{"--loops", "2", "--http=", "::1", "6001"},
		{"::1", "--loops=2", "--http", "", "6001"},
		{"[::1]", "6001", "--http=", "--loops", "2"},
	} {
		inv, err := parse(args, io.Discard)
		if err != nil {
			t.Errorf("parse(%q): %v", args, err)
			continue
		}
		if inv.Command != "serve" || inv.Reactor.Loops != 2 || inv.Ops.HTTP != "" || inv.Reactor.Addr != "[::1]:6001" {
			t.Errorf("parse(%q): %s %v, loops %d, http %q; want serve [::1]:6001, loops 2, no http", args, inv.Command, inv.Reactor.Addr, inv.Reactor.Loops, inv.Ops.HTTP)
		}
	}
}

// Every setting refuses invalid values, and the error names the setting,
// whether the value came from a flag or from the file.
func TestBadValues(t *testing.T) {
	clean(t)
	bad := map[string][]string{
		"db": {"", "sqlite:", "chat.db", "postgres://host/chat", "sqlite:chat.db ", "sqlite: chat.db",
			"mysql://host", "mysql://host/", "mysql://me:pw@host:1:2/chat", "mysql://me:p/w@host/chat", "mysql://me:pw@host/chat?tls=yes", "mysql://me:pw@host/chat?ssl=true"},
		"sqlite-sync":                    {"", "off", "FULL"},
		"redis":                          {"redis://host:6379", "localhost:6379", "redis://host:6379/0", "redis://host?db=1", "redis://me@host"},
		"redis-password-file":            {"redis.secret"},
		"wait":                           {"10", "-1s", "25h"},
		"reserve-deleted-names":          {"30", "-1s", "876001h"},
		"node":                           {"two words", "new\nline", strings.Repeat("x", 65)},
		"http":                           {"8080", "127.0.0.1", "127.0.0.1:http", "127.0.0.1:70000"},
		"web-url":                        {"chat.example.com", "ftp://chat.example.com", "https://me:pw@chat.example.com"},
		"origins":                        {"chat.example.com", "https://chat.example.com/", "https://a.example,b.example"},
		"proxy-protocol":                 {"10.0.0.1", "10.0.0.0/33", "localhost/8"},
		"loops":                          {"-1", "65", "two", "1.5", ""},
		"quick-lanes":                    {"-1", "1025"},
		"slow-lanes":                     {"-1", "1025"},
		"password-wait":                  {"5", "0s", "25h"},
		"login-timeout":                  {"10", "0s", "-1s", "25h", "soon"},
		"idle-timeout":                   {"90", "0s", "25h"},
		"drain-timeout":                  {"5", "0s", "25h"},
		"window":                         {"0", "65537", "many"},
		"max-held":                       {"1", "1MB", "2GiB", "-1KiB", "4294967296"},
		"max-held-all":                   {"1", "512KiB", "65GiB", "-1KiB"},
		"max-waiting-all":                {"0", "512KiB", "65GiB", "1 GiB"},
		"max-unanswered":                 {"0", "1023KiB", "65GiB", "lots"},
		"max-waiting":                    {"0", "0.5MiB", "1 MiB", "9999999999GiB"},
		"max-conns":                      {"-1", "2147483648"},
		"conns-per-addr":                 {"-1", "x"},
		"connects-per-sec-per-addr":      {"-1", "x"},
		"frames-per-sec-per-conn":        {"-1", "many"},
		"bytes-per-sec-per-conn":         {"-1", "2GiB"},
		"frames-per-sec-per-user":        {"-1", "1.5"},
		"bytes-per-sec-per-user":         {"-1", "1MB"},
		"answers-per-sec-per-user":       {"-1", "1MB"},
		"frames-before-login":            {"-1", "x"},
		"logins-per-sec-per-addr":        {"-1", "x"},
		"logins-per-sec-per-user":        {"-1", "x"},
		"passwords-per-sec-per-addr":     {"-1", "x"},
		"registrations-per-day-per-addr": {"-1", "x"},
		"burst":                          {"0s", "10", "25h"},
		"failed-logins-per-addr":         {"-1", "x"},
		"failed-logins-per-account-addr": {"-1", "x"},
		"failed-logins-per-account":      {"-1", "x"},
		"failed-logins-time":             {"0s", "5", "25h"},
		"abuse-after":                    {"-1", "32769"},
		"abuse-wait":                     {"-1s", "5", "5m1s"},
		"max-devices":                    {"0", "-1"},
		"max-friends":                    {"0", "x", "5000"},
		"max-groups":                     {"0", "x", "5000"},
		"max-members":                    {"0", "x"},
		"max-page":                       {"0", "201", "x"},
		"messages-per-day":               {"-1", "1.5"},
		"bytes-per-day":                  {"-1", "64MB"},
		"messages-to-stranger":           {"-1", "10001"},
		"messages-from-strangers":        {"-1", "many"},
		"no-limits":                      {"maybe"},
		"argon2":                         {"", "19456", "19456,2", "19456,0,1", "7,1,1", "8,1,2", "2000000,1,1", "8,1,256", "8,1,1,1", "a,b,c"},
		"memory":                         {"1", "63MiB", "-1", "64MB", "lots"},
		"log-level":                      {"loud", ""},
		"log-format":                     {"xml", ""},
		"audit-log":                      {""},
		"registration":                   {"closed", ""},
		"reserved-names":                 {"root,,admin", "root, admin", " "},
		"http-pprof":                     {"maybe"},
		"health":                         {"8081", "127.0.0.1", "127.0.0.1:x"},
		"admin":                          {"9100", "127.0.0.1", "127.0.0.1:x", "0.0.0.0:9100", "[::]:9100", ":9100", "10.0.0.1:9100", "chat.example.com:9100"},
		"admin-remote":                   {"maybe"},
		"allow-unconnected-nodes":        {"maybe"},
	}
	for _, name := range settingNames(t) {
		if name == "config" {
			continue
		}
		values, ok := bad[name]
		if !ok {
			t.Errorf("this test has no invalid value for --%s", name)
		}
		for _, value := range values {
			for way, args := range map[string][]string{
				"flag": {"--" + name + "=" + value},
				"file": {"--config", file(t, name+" = "+tomlString(value))},
			} {
				_, err := parse(append(args, "127.0.0.1", "6000"), io.Discard)
				var usage *usageError
				if !errors.As(err, &usage) || !strings.Contains(err.Error(), name) {
					t.Errorf("%s %s = %q: error %v, want a usage error that names %s", way, name, value, err, name)
				}
			}
		}
	}
}

func tomlString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// settings returns the flags that are settings: those that can also be set in
// the environment.
func settings(t *testing.T) (flags []*kong.Flag) {
	t.Helper()
	k, err := grammar(newCommandLine(), io.Discard, func() {})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range k.Model.Flags {
		if len(f.Envs) > 0 {
			flags = append(flags, f)
		}
	}
	return flags
}

func settingNames(t *testing.T) (names []string) {
	t.Helper()
	for _, f := range settings(t) {
		names = append(names, f.Name)
	}
	return names
}

// Names, placeholders, defaults and variables of the settings don't change:
// operators' files and scripts use them. Add a new setting to the golden file.
func TestSettingsAreStable(t *testing.T) {
	text, err := os.ReadFile("testdata/settings.golden")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range settings(t) {
		byDefault := ""
		if f.Default != "" {
			byDefault = " " + f.Default
		}
		got = append(got, fmt.Sprintf("--%s |%s | %s", flagUsage(f), byDefault, strings.Join(f.Envs, " ")))
	}
	slices.Sort(got)
	want := slices.Sorted(strings.SplitSeq(strings.TrimSpace(string(text)), "\n"))
	for _, line := range want {
		if !slices.Contains(got, line) {
			t.Errorf("in testdata/settings.golden, but not a setting: %s", line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			t.Errorf("a setting, but not in testdata/settings.golden: %s", line)
		}
	}
}

// --no-limits turns off limits per address, user and connection. It leaves the
// limits that bound the server's memory.
func TestNoLimits(t *testing.T) {
	clean(t)
	plain, lifted := mustParse(t), mustParse(t, "--no-limits")
	for name, of := range map[string]func(c *invocation) int{
		"connections per address":     func(c *invocation) int { return c.Reactor.ConnsPerAddr },
		"connects per address":        func(c *invocation) int { return c.Reactor.ConnectsPerSecPerAddr },
		"logins per address":          func(c *invocation) int { return c.Service.Limits.LoginsPerSecPerAddr },
		"logins per user":             func(c *invocation) int { return c.Service.Limits.LoginsPerSecPerUser },
		"registrations per address":   func(c *invocation) int { return c.Service.Limits.RegistrationsPerDayPerAddr },
		"passwords per address":       func(c *invocation) int { return c.Service.Limits.PasswordsPerSecPerAddr },
		"frames per connection":       func(c *invocation) int { return c.Reactor.FramesPerSecPerConn },
		"bytes per connection":        func(c *invocation) int { return c.Reactor.BytesPerSecPerConn },
		"frames per user":             func(c *invocation) int { return c.Service.Limits.FramesPerSecPerUser },
		"bytes per user":              func(c *invocation) int { return c.Service.Limits.BytesPerSecPerUser },
		"answers per user":            func(c *invocation) int { return c.Service.Limits.AnswersPerSecPerUser },
		"messages of a day":           func(c *invocation) int { return c.Store.MessagesPerDay },
		"bytes of a day":              func(c *invocation) int { return c.Store.BytesPerDay },
		"messages to a stranger":      func(c *invocation) int { return c.Store.MessagesToStranger },
		"messages from strangers":     func(c *invocation) int { return c.Store.MessagesFromStrangers },
		"frames before login":         func(c *invocation) int { return c.Reactor.FramesBeforeLogin },
		"failed logins per address":   func(c *invocation) int { return c.Service.Limits.FailedLoginsPerAddr },
		"failed logins of an account": func(c *invocation) int { return c.Service.Limits.FailedLoginsPerAccount },
		"logins after abuse":          func(c *invocation) int { return int(c.Service.Limits.AbuseWait) },
	} {
		if of(plain) <= 0 {
			t.Errorf("%s: limit %d by default, want a positive one", name, of(plain))
		}
		if of(lifted) != 0 {
			t.Errorf("%s: limit %d with --no-limits, want 0", name, of(lifted))
		}
	}
	for name, v := range map[string]int{"devices": lifted.Service.Login.MaxDevices, "friends": lifted.Service.People.MaxFriends, "groups": lifted.Service.Groups.MaxGroups, "members": lifted.Service.Groups.MaxMembers} {
		if v != math.MaxInt32 {
			t.Errorf("%s: limit %d with --no-limits, want %d", name, v, math.MaxInt32)
		}
	}
	l, p := &lifted.Reactor, &plain.Reactor
	if lifted.Service.Session.Window != plain.Service.Session.Window || lifted.Service.Session.MaxUnanswered != plain.Service.Session.MaxUnanswered ||
		l.MaxHeld != p.MaxHeld || l.MaxWaiting != p.MaxWaiting || l.MaxHeldAll != p.MaxHeldAll || l.MaxWaitingAll != p.MaxWaitingAll {
		t.Errorf("--no-limits changed windows or buffers:\n%+v %+v\nwant\n%+v %+v", lifted.Service.Session, *l, plain.Service.Session, *p)
	}
}

// A boolean setting can be turned on in one source, and off in one that
// overrides it.
func TestBoolSetting(t *testing.T) {
	clean(t)
	on := file(t, "no-limits = true")
	if !mustParse(t, "--config", on).NoLimits {
		t.Error("no-limits is on in the file: got off, want on")
	}
	if mustParse(t, "--config", on, "--no-limits=false").NoLimits {
		t.Error("no-limits is on in the file, off by flag: got on, want off")
	}
	t.Setenv("CHATD_NO_LIMITS", "0")
	if mustParse(t, "--config", on).NoLimits {
		t.Error("no-limits is on in the file, off in the environment: got on, want off")
	}
	if !mustParse(t, "--no-limits").NoLimits {
		t.Error("no-limits is off in the environment, on by flag: got off, want on")
	}
}

// A CHATD_ variable with a typo in its name is reported, but doesn't prevent
// the start: other programs set such variables too.
func TestUnknownEnvironment(t *testing.T) {
	clean(t)
	t.Setenv("CHATD_LOPS", "3")
	t.Setenv("CHATD_LOOPS", "3")
	if got := mustParse(t).Unknown; !slices.Equal(got, []string{"CHATD_LOPS"}) {
		t.Errorf("unknown variables = %q, want only CHATD_LOPS", got)
	}
}

// Two nodes without --node on the same host have different names.
func TestNodeName(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	if got := (&Config{}).NodeName(6001); got != host+":6001" {
		t.Errorf("NodeName(6001) = %q, want %q", got, host+":6001")
	}
	if got := (&Config{Node: "a"}).NodeName(6001); got != "a" {
		t.Errorf("NodeName with --node a = %q, want %q", got, "a")
	}
}

// The database whose folder is created at startup is the default of --db.
func TestDefaultStore(t *testing.T) {
	clean(t)
	if got := mustParse(t).Store.DB; got != "sqlite:"+defaultPath {
		t.Errorf("default of --db = %q, want %q", got, "sqlite:"+defaultPath)
	}
}
