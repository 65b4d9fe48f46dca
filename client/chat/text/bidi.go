package text

import (
	"fmt"
	"strings"

	"golang.org/x/text/unicode/bidi"
)

// Text from right to left reorders what stands next to it, such as times, numbers and
// other names, unless it is isolated. See Unicode Standard Annex #9.
const (
	firstStrong = '\u2068' // starts an isolate with the direction of its first letter
	popIsolate  = '\u2069'
)

// class returns the direction of a character.
func class(r rune) bidi.Class {
	p, _ := bidi.LookupRune(r)
	return p.Class()
}

// fromRight reports whether r is written from right to left, or reorders its
// neighbours as if it were.
func fromRight(r rune) bool {
	if r < 0x590 {
		return false
	}
	switch class(r) {
	case bidi.R, bidi.AL, bidi.AN:
		return true
	}
	return false
}

// Isolate returns text that can't change the order of what stands next to it. s must
// be a line from Clean or Show.
func Isolate(s string) string {
	if !strings.ContainsFunc(s, fromRight) {
		return s
	}
	return string(firstStrong) + s + string(popIsolate)
}

// IsolateWords is Isolate for a sentence of this program with names in it: it isolates
// the words from right to left, so that they don't reorder the sentence either.
func IsolateWords(s string) string {
	if !strings.ContainsFunc(s, fromRight) {
		return s
	}
	var b strings.Builder
	open, pending := false, "" // pending: a blank that is inside if another such word follows
	for _, r := range s {
		switch {
		case fromRight(r):
			if !open {
				b.WriteRune(firstStrong)
			}
			open = true
		case open && (class(r) == bidi.NSM || r == '\u200c' || r == '\u200d'): // belongs to the letter before
		case open && r == ' ' && pending == "":
			pending = " "
			continue
		case open:
			b.WriteRune(popIsolate)
			open = false
		}
		b.WriteString(pending)
		b.WriteRune(r)
		pending = ""
	}
	if open {
		b.WriteRune(popIsolate)
	}
	return b.String() + pending
}

// Safe is a line that may be printed on a terminal.
type Safe string

// Sprintf returns a line with the arguments in it. Unless they are Safe, texts go
// through Clean and Isolate: neither can change anything but their own place.
func Sprintf(format string, args ...any) Safe {
	shown := make([]any, len(args))
	for i, a := range args {
		switch a := a.(type) {
		case string:
			shown[i] = Isolate(Clean(a))
		case error:
			shown[i] = Isolate(Clean(a.Error()))
		case Safe:
			shown[i] = string(a)
		default:
			shown[i] = a
		}
	}
	return Safe(fmt.Sprintf(format, shown...))
}
