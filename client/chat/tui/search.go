package tui

import (
	"unicode"
	"unicode/utf8"

	"chatd/client/chat/text"
	"chatd/client/chat/widget"
)

// hit is one place where what is looked for stands.
type hit struct {
	msg      *message
	line     int
	from, to int // in the line
}

// search looks for words in the open conversation: in what is here, and
// backwards in what the server has.
type search struct {
	input       widget.Editor
	hits        []hit
	at          int  // the one that is looked at, -1: none
	loadingMore bool // an older one was asked for: go on when a page comes
	moreFrom    hit  // the one from which an older one was asked for
}

// find looks again: the words or the messages have changed. The hit that was
// looked at stays so, as far as it is there; else the last one is.
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
	for _, e := range c.messages {
		if e.notice {
			continue
		}
		for i, line := range e.displayLines(r) {
			for _, p := range occurrences(line, words) {
				h := hit{e, i, p[0], p[1]}
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

// here is the hit that is looked at, nil if there is none.
func (s *search) current() *hit {
	if s.at < 0 || s.at >= len(s.hits) {
		return nil
	}
	return &s.hits[s.at]
}

// found goes to an older hit, once older messages have come: the last one
// where none was looked at before.
func (s *search) resume() bool {
	if h := s.current(); h != nil && *h != s.moreFrom {
		return true
	}
	return s.older()
}

// older goes to the hit before, and reports false where there is none.
func (s *search) older() bool {
	if s.at <= 0 {
		return false
	}
	s.at--
	return true
}

// newer goes to the hit behind.
func (s *search) newer() bool {
	if s.at+1 >= len(s.hits) {
		return false
	}
	s.at++
	return true
}

// in calls mark with the parts of a piece of a line that are hits.
func (s *search) highlights(e *message, p piece, mark func(from, to int, here bool)) {
	for i, h := range s.hits {
		if h.msg == e && h.line == p.line && h.to > p.from && h.from < p.to {
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

// occurrences are the places in a line where the words stand, without regard
// to case.
func occurrences(line string, words []rune) (places [][2]int) {
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
			places = append(places, [2]int{from, to})
			from = to
			continue
		}
		_, n := utf8.DecodeRuneInString(line[from:])
		from += n
	}
	return places
}
