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

func TestDefaults(t *testing.T) {
	got := config{Untagged: 3}
	Defaults(&got)
	want := config{Name: "a name", Wait: 90 * time.Second, Count: 7, Held: 2 << 20, HeldAll: 1 << 30,
		Addr: netip.MustParseAddr("127.0.0.1"), Untagged: 3}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A tag that can't be read is a mistake in the program.
func TestBadDefault(t *testing.T) {
	for name, bad := range map[string]any{
		"N": &struct {
			N int `default:"many"`
		}{},
		"S": &struct {
			S int `type:"size" default:"1MB"`
		}{},
		"T": &struct {
			T time.Duration `default:"10"`
		}{},
		"List": &struct {
			List []string `default:"a"`
		}{},
	} {
		func() {
			defer func() {
				if said, ok := recover().(string); !ok || !strings.Contains(said, "."+name+": default ") {
					t.Errorf("%s: the panic says %q", name, said)
				}
			}()
			Defaults(bad)
		}()
	}
}

// ParseSize reads what FormatSize writes.
func TestSize(t *testing.T) {
	for text, want := range map[string]int{"0": 0, "65536": 1 << 16, "64KiB": 1 << 16, "1MiB": 1 << 20, "1GiB": 1 << 30, "1500": 1500} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("ParseSize(%q) = %d, %v, want %d", text, got, err, want)
		}
		written := FormatSize(got)
		if again, err := ParseSize(written); err != nil || again != want {
			t.Errorf("%q was written as %q, which is read as %d, %v", text, written, again, err)
		}
	}
	for _, text := range []string{"", "1MB", "0.5MiB", "1 MiB", "-1KiB", "4294967296", "9999999999GiB", "MiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %d, want an error", text, got)
		}
	}
}

// All problems are reported, each on a line with its flag.
func TestProblems(t *testing.T) {
	var p Problems
	p.Int("loops", 65, 0, 64)
	p.Int("window", 1, 1, 64)
	p.Size("max-held", 1024, 512<<10, 1<<30)
	p.Time("wait", 25*time.Hour, 0, MaxTime)
	const want = "--loops: 65 is not between 0 and 64\n--max-held: 1KiB is not between 512KiB and 1GiB\n--wait: 25h0m0s is not between 0s and 24h0m0s"
	if err := p.Err(); err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
	if err := new(Problems).Err(); err != nil {
		t.Error(err)
	}
}

// No password of a URL reaches a log, least of all that of a URL that can't
// be parsed, which is when it is printed.
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
