package names

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode"
)

// tablesText is written by gen.go. Its header describes the format.
//
//go:embed tables.txt
var tablesText string

// unicodeTables are the tables that the standard library doesn't have.
type unicodeTables struct {
	confusable map[rune]string
	uncommon   *unicode.RangeTable // Identifier_Type Technical, Obsolete or Deprecated
	extensions []extension         // sorted
}

// extension is a range of characters that several scripts use.
type extension struct {
	low, high rune
	scripts   []string
}

// tables returns the tables. The first call parses them.
var tables = sync.OnceValue(func() *unicodeTables {
	t := &unicodeTables{confusable: make(map[rune]string, 7000), uncommon: &unicode.RangeTable{}}
	for line := range strings.Lines(tablesText) {
		if line[0] == '#' {
			continue
		}
		columns := strings.Fields(line)
		low, high, _ := strings.Cut(columns[1], "..")
		first := codePoint(low)
		last := first
		if high != "" {
			last = codePoint(high)
		}
		switch columns[0] {
		case "C":
			var b strings.Builder
			for _, c := range columns[2:] {
				b.WriteRune(codePoint(c))
			}
			t.confusable[first] = b.String()
		case "R":
			t.uncommon.R32 = append(t.uncommon.R32, unicode.Range32{Lo: uint32(first), Hi: uint32(last), Stride: 1})
		case "S":
			t.extensions = append(t.extensions, extension{first, last, columns[2:]})
		}
	}
	slices.SortFunc(t.uncommon.R32, func(a, b unicode.Range32) int { return int(a.Lo) - int(b.Lo) })
	slices.SortFunc(t.extensions, func(a, b extension) int { return int(a.low - b.low) })
	return t
})

func codePoint(hex string) rune {
	n, err := strconv.ParseInt(hex, 16, 32)
	if err != nil {
		panic(fmt.Sprintf("tables.txt: %q is not a code point", hex))
	}
	return rune(n)
}

// scripts returns the scripts of a character that several scripts use, otherwise
// nil.
func (t *unicodeTables) scripts(r rune) []string {
	i, found := slices.BinarySearchFunc(t.extensions, r, func(e extension, r rune) int {
		switch {
		case e.high < r:
			return -1
		case e.low > r:
			return 1
		}
		return 0
	})
	if !found {
		return nil
	}
	return t.extensions[i].scripts
}
