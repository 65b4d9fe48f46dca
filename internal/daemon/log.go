package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"unicode/utf8"
)

// newLogger returns a logger that writes one line per record to w. Text that
// comes from a client can't break or forge a line, or send control sequences to
// a terminal: slog quotes text values with unprintable characters, and printable
// escapes those that slog leaves in JSON. Passwords of URLs are removed from
// messages, values and errors, so that none is logged by mistake.
func newLogger(w io.Writer, level, format string) *slog.Logger {
	return newLoggerFrom(w, levelOf(level), format)
}

// levelOf returns the level with a name.
func levelOf(name string) (least slog.Level) {
	if least.UnmarshalText([]byte(name)) != nil {
		least = slog.LevelInfo // help and version have no level
	}
	return least
}

// newLoggerFrom is newLogger with a level that may change.
func newLoggerFrom(w io.Writer, least slog.Leveler, format string) *slog.Logger {
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { return slog.Attr{Key: a.Key, Value: redacted(a.Value)} }}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(printable{w}, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// redacted returns a value without the passwords of URLs.
func redacted(v slog.Value) slog.Value {
	switch v.Kind() {
	case slog.KindString:
		return slog.StringValue(withoutSecrets(v.String()))
	case slog.KindAny:
		switch x := v.Any().(type) {
		case error:
			return slog.StringValue(withoutSecrets(x.Error()))
		case fmt.Stringer:
			return slog.StringValue(withoutSecrets(x.String()))
		}
	}
	return v
}

// withoutSecrets returns text with the passwords of all URLs in it removed, as
// setting.Redacted does for one URL.
func withoutSecrets(s string) string {
	const mark = "://"
	if !strings.Contains(s, mark) || !strings.Contains(s, "@") {
		return s
	}
	var b strings.Builder
	for {
		at := strings.Index(s, mark)
		if at < 0 {
			b.WriteString(s)
			return b.String()
		}
		at += len(mark)
		b.WriteString(s[:at])
		s = s[at:]
		// A password may contain anything that doesn't end the word. The last
		// "@" of the word ends the password.
		end := strings.IndexFunc(s, func(r rune) bool { return r == ' ' || r == '"' || r == '\n' || r == '\t' })
		if end < 0 {
			end = len(s)
		}
		word := s[:end]
		s = s[end:]
		if i := strings.LastIndexByte(word, '@'); i >= 0 {
			user, _, secret := strings.Cut(word[:i], ":")
			if secret {
				user += ":…"
			}
			word = user + word[i:]
		}
		b.WriteString(word)
	}
}

// printable writes JSON with unprintable characters escaped: some control
// characters beyond ASCII begin escape sequences of terminals, and others
// reverse the direction of text. Each Write must have whole records, as slog
// writes them.
type printable struct{ w io.Writer }

func (p printable) Write(b []byte) (int, error) {
	var out []byte // nil until something is escaped
	for i := 0; i < len(b); {
		r, n := rune(b[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(b[i:])
		}
		if r == '\n' || r != 0x7f && r < utf8.RuneSelf || strconv.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			if out != nil {
				out = append(out, b[i:i+n]...)
			}
		} else {
			if out == nil {
				out = append(make([]byte, 0, len(b)+64), b[:i]...)
			}
			if r > 0xffff {
				r -= 0x10000
				out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			} else {
				out = fmt.Appendf(out, `\u%04x`, r)
			}
		}
		i += n
	}
	if out == nil {
		out = b
	}
	if _, err := p.w.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}
