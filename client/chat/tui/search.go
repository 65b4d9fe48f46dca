package tui

import (
	"unicode"
	"unicode/utf8"

	"chatd/client/chat/text"
	"chatd/client/chat/widget"
)

// hit is an occurrence of the search text.
type hit struct {
	msg      *message
	line     int
	from, to int // byte range in the line
}

// search is a search in the open conversation. It finds text in the loaded
// messages, and loads older ones on demand.
type search struct {
	input       widget.Editor
	hits        []hit // oldest first
	at          int   // index of the current hit, -1 for none
	loadingMore bool  // an older page was requested; the search continues when it arrives
	moreFrom    hit   // the current hit when the page was requested
}

// find updates the hits. It must be called after the search text or the
// messages have changed. The current hit stays current if it still exists,
// otherwise the newest hit becomes current.
func (s *search) find(c *conversation, r text.Ruler) {
	var old hit
	if s.at >= 0 && s.at < len(s.hits) {
		old = s.hits[s.at]
	}
	s.hits, s.at = s.hits[:0], -1
	words := folded(r.Show(s.input.Value()))
	if len(words) == 0 {
		return
	}
	for _, msg := range c.messages {
		if msg.notice {
			continue
		}
		for i, line := range msg.displayLines(r) {
			for _, p := range occurrences(line, words) {
				h := hit{msg, i, p[0], p[1]}
				if h == old {
					s.at = len(s.hits)
				}
				s.hits = append(s.hits, h)
			}
		}
	}
	if s.at < 0 {
		s.at = len(s.hits) - 1
	}
}

// current returns the current hit, or nil.
func (s *search) current() *hit {
	if s.at < 0 || s.at >= len(s.hits) {
		return nil
	}
	return &s.hits[s.at]
}

// resume goes to the next older hit after older messages were loaded, or to the
// newest one if there was no current hit. It returns false if there is none.
func (s *search) resume() bool {
	if h := s.current(); h != nil && *h != s.moreFrom {
		return true
	}
	return s.older()
}

// older goes to the next older hit. It returns false if there is none.
func (s *search) older() bool {
	if s.at <= 0 {
		return false
	}
	s.at--
	return true
}

// newer goes to the next newer hit. It returns false if there is none.
func (s *search) newer() bool {
	if s.at+1 >= len(s.hits) {
		return false
	}
	s.at++
	return true
}

// highlights calls mark for each byte range of a piece that belongs to a hit.
// current is true for the current hit.
func (s *search) highlights(msg *message, p piece, mark func(from, to int, current bool)) {
	for i, h := range s.hits {
		if h.msg == msg && h.line == p.line && h.to > p.from && h.from < p.to {
			mark(max(h.from, p.from), min(h.to, p.to), i == s.at)
		}
	}
}

func fold(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }

func folded(s string) []rune {
	runes := []rune(s)
	for i, r := range runes {
		runes[i] = fold(r)
	}
	return runes
}

// occurrences returns the byte ranges of a line that match words, ignoring
// case. words must be folded.
func occurrences(line string, words []rune) (ranges [][2]int) {
	for from := 0; from < len(line); {
		to, ok := from, true
		for _, w := range words {
			r, n := utf8.DecodeRuneInString(line[to:])
			if n == 0 || fold(r) != w {
				ok = false
				break
			}
			to += n
		}
		if ok {
			ranges = append(ranges, [2]int{from, to})
			from = to
			continue
		}
		_, n := utf8.DecodeRuneInString(line[from:])
		from += n
	}
	return ranges
}
