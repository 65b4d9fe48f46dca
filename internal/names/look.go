package names

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// LookVersion is the version of LookOf. It is stored with its results, and
// changes whenever a result may change: with tables.txt, with the versions of
// Unicode in Go and x/text, and with the code.
const LookVersion = 1

// Look is what a name looks like.
type Look struct {
	// Keys are hashes of the name's skeletons, one or two. Names look alike if
	// they have a key in common. There are two, because upper and lower case
	// look like different characters.
	Keys [][]byte

	// Script tells apart names that look alike. Two names with the same Script
	// are of the same script and have joiners at the same places, so they
	// differ in characters that a reader of the script can tell apart.
	Script string
}

// KeySize is the length of a key in bytes. MaxScript is the maximum length of
// Script, in bytes.
const (
	KeySize   = 16
	MaxScript = 255
)

// LookOf returns what a name looks like. name may be any string.
func LookOf(name string) Look {
	l := Look{Script: scriptsOf(name)}
	for _, s := range []string{fold(skeleton(name)), fold(skeleton(fold(name)))} {
		sum := sha256.Sum256([]byte(s))
		if key := sum[:KeySize]; len(l.Keys) == 0 || string(key) != string(l.Keys[0]) {
			l.Keys = append(l.Keys, key)
		}
	}
	return l
}

func fold(s string) string { return norm.NFD.String(cases.Fold().String(norm.NFC.String(s))) }

// skeleton returns the skeleton of UTS 39: each character is replaced by what it
// looks like. Only skeletons are compared, they are never shown.
func skeleton(s string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(s) {
		if Hidden(r) {
			continue
		}
		if looks, ok := tables().confusable[r]; ok {
			b.WriteString(looks)
		} else {
			b.WriteRune(r)
		}
	}
	return norm.NFD.String(b.String())
}

// scriptsOf returns the scripts of a name, and the places of characters that
// have no effect on its skeleton or on its compatibility form.
func scriptsOf(name string) string {
	var scripts []string
	var places strings.Builder
	at := 0
	for _, r := range norm.NFC.String(name) {
		if Hidden(r) || vowelAm(r) {
			fmt.Fprintf(&places, " %d", at)
			continue
		}
		at++
		if s := scriptOf(r); s != "" && !slices.Contains(scripts, s) {
			scripts = append(scripts, s)
		}
	}
	slices.Sort(scripts)
	all := strings.Join(scripts, " ") + places.String()
	return all[:min(len(all), MaxScript)]
}

// Reserved is a set of names that nobody may choose, nor names that look like
// them.
type Reserved map[string]string // key to name

// NewReserved returns the set of some names.
func NewReserved(names []string) Reserved {
	r := Reserved{}
	for _, name := range names {
		if name = strings.TrimSpace(name); name == "" {
			continue // a list in the environment may end with a comma
		}
		for _, form := range []string{name, bare(name)} {
			for _, key := range LookOf(form).Keys {
				r[string(key)] = name
			}
		}
	}
	return r
}

// Find returns the reserved name that name looks like, or "". Accents, signs and
// spaces make no difference: "admin✓" passes for an admin, too.
func (r Reserved) Find(name string) string {
	for _, form := range []string{name, bare(name)} {
		for _, key := range LookOf(form).Keys {
			if found := r[string(key)]; found != "" {
				return found
			}
		}
	}
	return ""
}

// bare returns a name without accents, punctuation, symbols and spaces, or the name
// if nothing else is left.
func bare(name string) string {
	b := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsNumber(r) || unicode.IsMark(r) && scriptOf(r) != "" { // such as a vowel of Devanagari
			return r
		}
		return -1
	}, norm.NFD.String(name))
	if b == "" {
		return name
	}
	return b
}
