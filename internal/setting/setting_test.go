package setting

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

type config struct {
	Name     string        `default:"a name"`
	Wait     time.Duration `default:"90s"`
	Count    int           `default:"7"`
	Held     int           `type:"size" default:"2MiB"`
	HeldAll  int64         `type:"size" default:"1GiB"`
	Addr     netip.Addr    `default:"127.0.0.1"`
	Untagged int
	On       bool
}

// Defaults sets fields of every supported type from their tags, and leaves the
// others.
func TestDefaults(t *testing.T) {
	got := config{Untagged: 3}
	Defaults(&got)
	want := config{Name: "a name", Wait: 90 * time.Second, Count: 7, Held: 2 << 20, HeldAll: 1 << 30,
		Addr: netip.MustParseAddr("127.0.0.1"), Untagged: 3}
	if got != want {
		t.Errorf("Defaults: got\n%+v\nwant\n%+v", got, want)
	}
}

// Defaults panics if a tag is invalid, and names the field.
func TestBadDefault(t *testing.T) {
	for field, bad := range map[string]any{
		"N": &struct {
			N int `default:"many"`
		}{},
		"S": &struct {
			S int `type:"size" default:"1MB"`
		}{},
		"T": &struct {
			T time.Duration `default:"10"`
		}{},
		"Map": &struct {
			Map map[string]string `default:"a"`
		}{},
	} {
		func() {
			defer func() {
				if text, ok := recover().(string); !ok || !strings.Contains(text, "."+field+": default ") {
					t.Errorf("invalid default of %s: panic %q, want one that names the field", field, text)
				}
			}()
			Defaults(bad)
		}()
	}
}

// ParseSize reads sizes with and without a unit, and everything that FormatSize
// writes.
func TestSize(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "65536": 1 << 16, "64KiB": 1 << 16, "1MiB": 1 << 20, "1GiB": 1 << 30, "1500": 1500} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
		written := FormatSize(got)
		if again, err := ParseSize(written); err != nil || again != want {
			t.Errorf("ParseSize(FormatSize(%d)) = ParseSize(%q) = %d, %v; want %d", got, written, again, err, want)
		}
	}
	for _, text := range []string{"", "1MB", "0.5MiB", "1 MiB", "-1KiB", "4294967296", "9999999999GiB", "MiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

// Problems reports all problems, one per line, each with its flag.
func TestProblems(t *testing.T) {
	var p Problems
	p.Int("loops", 65, 0, 64)
	p.Int("window", 1, 1, 64)
	p.Size("max-held", 1024, 512<<10, 1<<30)
	p.Time("wait", 25*time.Hour, 0, MaxTime)
	const want = "--loops: 65 is not between 0 and 64\n--max-held: 1KiB is not between 512KiB and 1GiB\n--wait: 25h0m0s is not between 0s and 24h0m0s"
	if err := p.Err(); err == nil || err.Error() != want {
		t.Errorf("Err() =\n%v\nwant\n%s", err, want)
	}
	if err := new(Problems).Err(); err != nil {
		t.Errorf("Err() without problems = %v, want nil", err)
	}
}

// Redacted removes the password of a URL, even if the URL is invalid, which is
// when it is printed.
func TestRedacted(t *testing.T) {
	for in, want := range map[string]string{
		"sqlite:data/chatd.db":                 "sqlite:data/chatd.db",
		"sqlite:data/a:b@c.db":                 "sqlite:data/a:b@c.db",
		"mysql://chat:hunter2@db:3306/chat":    "mysql://chat:…@db:3306/chat",
		"mysql://chat:hun@ter/2@db:3306/chat":  "mysql://chat:…@db:3306/chat",
		"mysql://chat:%zz@db/chat":             "mysql://chat:…@db/chat",
		"mysql://db/chat":                      "mysql://db/chat",
		"redis://:hunter2@localhost:6379":      "redis://:…@localhost:6379",
		"chat:hunter2@tcp(db:3306)/chat":       "chat:…@tcp(db:3306)/chat",
		"mysql://chat:hunter2@":                "mysql://chat:…@",
		"redis://localhost:6379":               "redis://localhost:6379",
		"mysql://chat@db/chat":                 "mysql://chat@db/chat",
		"mysql://chat:hunter2:x@y://z@db/chat": "mysql://chat:…@db/chat",
		"":                                     "",
	} {
		if got := Redacted(in); got != want {
			t.Errorf("Redacted(%q) = %q, want %q", in, got, want)
		}
	}
}
