package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// guestName is the account that newcomers are given. In the script's past it
// talks like everybody else.
const guestName = "guest"

// script is what the people of the demo say: see script.txt.
type script struct {
	people []string // by their first word, without the guest
	groups []*group
	scenes []*scene
}

// group is a group of the script.
type group struct {
	key, name, description string
	members                []string // by their first word there; without the guest
	id                     int64    // once it is made
}

// The parts of a script.
const (
	phasePast   = "past"   // said while the guest is there
	phaseUnread = "unread" // said when the guest has left
	phaseLive   = "live"   // said again and again as long as the demo runs
)

// scene is one talk in one place.
type scene struct {
	phase string
	place string    // as the script has it: scenes of one place are said in turn
	group *group    // nil: a pair talks
	pair  [2]string // who
	lines []line
}

// line is one message.
type line struct{ who, text string }

// readScript reads a script; the error names the line that can't be understood.
func readScript(r io.Reader) (*script, error) {
	s := &script{}
	words := make(map[string]*group)
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		if err := s.parseLine(strings.TrimSpace(in.Text()), words); err != nil {
			return nil, fmt.Errorf("script, line %d: %w", n, err)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("script: %w", err)
	}
	for _, sc := range s.scenes {
		if len(sc.lines) == 0 {
			return nil, fmt.Errorf("script: nobody says anything in a scene %s %s", sc.phase, sc.place)
		}
	}
	return s, nil
}

func (s *script) parseLine(text string, words map[string]*group) error {
	switch {
	case text == "" || strings.HasPrefix(text, "#"):
		return nil
	case strings.HasPrefix(text, "group "):
		parts := strings.SplitN(strings.TrimPrefix(text, "group "), ": ", 3)
		if len(parts) != 3 {
			return fmt.Errorf("%q is not \"group WORD: NAME: DESCRIPTION\"", text)
		}
		g := &group{key: parts[0], name: parts[1], description: parts[2]}
		if words[g.key] != nil {
			return fmt.Errorf("there is a group %q already", g.key)
		}
		words[g.key] = g
		s.groups = append(s.groups, g)
		return nil
	case strings.HasPrefix(text, "== "):
		return s.parseScene(strings.TrimPrefix(text, "== "), words)
	}
	who, said, ok := strings.Cut(text, ": ")
	if !ok || len(s.scenes) == 0 {
		return fmt.Errorf("%q is not \"NAME: TEXT\" in a scene", text)
	}
	return s.addLine(s.scenes[len(s.scenes)-1], who, strings.ReplaceAll(said, `\n`, "\n"))
}

// begin begins a scene: "PART WHERE".
func (s *script) parseScene(head string, words map[string]*group) error {
	part, where, _ := strings.Cut(head, " ")
	if part != phasePast && part != phaseUnread && part != phaseLive {
		return fmt.Errorf("%q is none of past, unread and live", part)
	}
	sc := &scene{phase: part, place: where, group: words[where]}
	if sc.group == nil {
		a, b, ok := strings.Cut(where, " + ")
		if !ok || a == b {
			return fmt.Errorf("%q is neither a group nor \"A + B\"", where)
		}
		sc.pair = [2]string{a, b}
	}
	s.scenes = append(s.scenes, sc)
	return nil
}

// say adds a line to a scene.
func (s *script) addLine(sc *scene, who, text string) error {
	switch {
	case who == guestName && sc.phase != phasePast:
		return fmt.Errorf("the guest can't speak in what is %s", sc.phase)
	case sc.group == nil && who != sc.pair[0] && who != sc.pair[1]:
		return fmt.Errorf("%s speaks where %s does", who, sc.place)
	}
	if who != guestName {
		if !slices.Contains(s.people, who) {
			s.people = append(s.people, who)
		}
		if g := sc.group; g != nil && !slices.Contains(g.members, who) {
			g.members = append(g.members, who)
		}
	}
	sc.lines = append(sc.lines, line{who, text})
	return nil
}

// places returns the scenes of a part by where they are, in the script's order.
func (s *script) scenesByPlace(part string) [][]*scene {
	var all [][]*scene
	at := make(map[string]int)
	for _, sc := range s.scenes {
		if sc.phase != part {
			continue
		}
		i, known := at[sc.place]
		if !known {
			i = len(all)
			at[sc.place] = i
			all = append(all, nil)
		}
		all[i] = append(all[i], sc)
	}
	return all
}
