package daemon

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	stdlog "log"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"chatd/service/audit"
)

// nasty has texts that a client could send to forge a log line or to send
// control sequences to a terminal.
var nasty = []string{
	"two\nlines level=ERROR msg=forged", "carriage\rreturn", "esc\x1b[2J\x1b]0;title\x07", "c1 \u009b2J", "del \x7f", "nul \x00",
	"turned \u202e gnihton", "zero \u200b width", "line \u2028 separator", "bad \xff\xc0 UTF-8", `quote " and \ backslash`, `json","msg":"forged`,
	"plane 14 \U000e0041", "key=value other=\"x\"",
}

// Text from a client can't break or forge a log line, or send control sequences
// to a terminal. A JSON parser reads the original text.
func TestLogsAreEscaped(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		for _, text := range nasty {
			var out bytes.Buffer
			log := newLogger(&out, "info", format)
			log.Info("who: "+text, "name", text, "err", fmt.Errorf("user %s", text), "bytes", []byte(text), "any", struct{ Name string }{text})
			line, more, ended := strings.Cut(out.String(), "\n")
			if !ended || more != "" {
				t.Errorf("%s log of %q: got %q, want one line", format, text, &out)
			}
			for _, r := range line {
				if !strconv.IsPrint(r) {
					t.Errorf("%s log of %q contains the unprintable %U: %s", format, text, r, line)
				}
			}
			if format != "json" {
				continue
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Errorf("JSON log of %q: %v: %s", text, err, line)
			}
			if want := strings.ToValidUTF8(text, "\ufffd"); strings.Count(text, "\xff") == 0 && (got["name"] != want || got["msg"] != "who: "+want) || len(got) != 7 {
				t.Errorf("JSON log of %q: name = %q, msg = %q, %d keys; want the text itself and 7 keys", text, got["name"], got["msg"], len(got))
			}
		}
	}
}

// What clients choose can't break or forge a line of the audit log, or send control
// sequences to a terminal. A JSON parser reads the original text.
func TestAuditLogIsEscaped(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		for _, text := range nasty {
			var out bytes.Buffer
			l, err := audit.Open(audit.Options{Out: &out, Handler: auditHandler(format), Set: metrics.NewSet(), Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			l.Add(audit.Event{Action: audit.Login, Outcome: audit.Refused, Reason: "wrong_password", Name: text, Device: text, Detail: text})
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			line, more, ended := strings.Cut(out.String(), "\n")
			if !ended || more != "" {
				t.Errorf("%s audit log of %q: got %q, want one line", format, text, &out)
			}
			for _, r := range line {
				if !strconv.IsPrint(r) {
					t.Errorf("%s audit log of %q contains the unprintable %U: %s", format, text, r, line)
				}
			}
			if format == "text" {
				want := strconv.Quote(text)
				if !strings.HasSuffix(line, " detail="+want+" name="+want+" device="+want) {
					t.Errorf("text audit log of %q: got %s, want the quoted text as detail, name and device", text, line)
				}
				continue
			}
			var got map[string]any
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Errorf("JSON audit log of %q: %v: %s", text, err, line)
			}
			if want := strings.ToValidUTF8(text, "\ufffd"); strings.Count(text, "\xff") == 0 && got["name"] != want || len(got) != 7 || got["action"] != "login" {
				t.Errorf("JSON audit log of %q: name = %q, action = %q, %d keys; want the text itself, login and 7 keys", text, got["name"], got["action"], len(got))
			}
		}
	}
}

// The log never contains the password of a URL, however broken the URL is. All
// other text stays.
func TestWithoutSecrets(t *testing.T) {
	for in, want := range map[string]string{
		"":                                       "",
		"a mail to me@host":                      "a mail to me@host",
		"see http://host:80/x":                   "see http://host:80/x",
		"open mysql://u:secret@h:3306/d: failed": "open mysql://u:…@h:3306/d: failed",
		`"redis://:secret@h"`:                    `"redis://:…@h"`,
		"redis://u:se:c@ret@h:1, then":           "redis://u:…@h:1, then",
		"mysql://u:secret/x@h and redis://:secret@i": "mysql://u:…@h and redis://:…@i",
		"mysql://u@h/d":                        "mysql://u@h/d",
		"parse \"mysql://u:secret%zz@h\": bad": "parse \"mysql://u:…@h\": bad",
	} {
		if got := withoutSecrets(in); got != want {
			t.Errorf("withoutSecrets(%q) = %q, want %q", in, got, want)
		}
	}
	for _, format := range []string{"text", "json"} {
		var out bytes.Buffer
		broken := strings.Join([]string{"mysql://u:secret", "zz@h/d"}, "%")
		_, parse := url.Parse(broken)
		if parse == nil {
			t.Fatalf("url.Parse(%q) succeeded, want an error", broken)
		}
		newLogger(&out, "info", format).With("db", "mysql://u:secret@h/d").WithGroup("g").Info("at redis://:secret@h",
			"err", fmt.Errorf("open: %w", parse), "joined", errors.Join(errors.New("x"), parse), "url", &url.URL{Scheme: "redis", Host: "h", User: url.UserPassword("u", "secret")})
		if strings.Contains(out.String(), "secret") {
			t.Errorf("%s log contains a password: %s", format, &out)
		}
	}
}

// What libraries write to Go's own log becomes a line of chatd's log, in its format.
func TestLogOfLibraries(t *testing.T) {
	flags, out, logger := stdlog.Flags(), stdlog.Writer(), slog.Default()
	t.Cleanup(func() {
		slog.SetDefault(logger)
		stdlog.SetFlags(flags)
		stdlog.SetOutput(out)
	})
	var written bytes.Buffer
	_, q := openLog(&invocation{Config: Config{LogLevel: "info", LogFormat: "json"}}, &written)
	stdlog.Print("metrics: too many open files")
	q.close(time.Minute)
	var line struct{ Level, Msg string }
	if err := json.Unmarshal(written.Bytes(), &line); err != nil || line.Level != "WARN" || line.Msg != "metrics: too many open files" {
		t.Errorf("the log is %q, error %v; want a line in JSON at level WARN with the text", written.String(), err)
	}
}
