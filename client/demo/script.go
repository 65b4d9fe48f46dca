package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"
)

// guestName is the account for newcomers. In the past phase of the script it is
// a scripted person like the others.
const guestName = "guest"

// script is what the people of the demo say; script.txt describes the format.
type script struct {
	people []string // in the order of their first line, without the guest
	groups []*group
	scenes []*scene
}

// group is a group of the script.
type group struct {
	key, name, description string
	members                []string // in the order of their first line there, without the guest
	id                     int64    // set when the group has been created
}

// Phases of a script.
const (
	phasePast   = "past"   // sent before the demo starts, while the guest is logged in
	phaseUnread = "unread" // sent after the guest has logged out
	phaseLive   = "live"   // repeated as long as the demo runs
)

// scene is a dialog in a group or between two people.
type scene struct {
	phase string
	place string    // group key or "A + B"; scenes of one place are played in order
	group *group    // nil if a pair talks
	pair  [2]string // the pair's names
	lines []line
}

// line is one message.
type line struct{ who, text string }

// readScript parses a script. Errors contain the line number.
func readScript(r io.Reader) (*script, error) {
	s := &script{}
	byKey := make(map[string]*group)
	in := bufio.NewScanner(r)
	for n := 1; in.Scan(); n++ {
		if err := s.parseLine(strings.TrimSpace(in.Text()), byKey); err != nil {
			return nil, fmt.Errorf("script, line %d: %w", n, err)
		}
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("script: %w", err)
	}
	for _, sc := range s.scenes {
		if len(sc.lines) == 0 {
			return nil, fmt.Errorf("script: scene \"%s %s\" is empty", sc.phase, sc.place)
		}
	}
	return s, nil
}

// parseLine parses one line of the script; byKey are the groups by key.
func (s *script) parseLine(text string, byKey map[string]*group) error {
	switch {
	case text == "" || strings.HasPrefix(text, "#"):
		return nil
	case strings.HasPrefix(text, "group "):
		parts := strings.SplitN(strings.TrimPrefix(text, "group "), ": ", 3)
		if len(parts) != 3 {
			return fmt.Errorf("%q is not \"group KEY: NAME: DESCRIPTION\"", text)
		}
		g := &group{key: parts[0], name: parts[1], description: parts[2]}
		if byKey[g.key] != nil {
			return fmt.Errorf("duplicate group %q", g.key)
		}
		byKey[g.key] = g
		s.groups = append(s.groups, g)
		return nil
	case strings.HasPrefix(text, "== "):
		return s.parseScene(strings.TrimPrefix(text, "== "), byKey)
	}
	who, said, ok := strings.Cut(text, ": ")
	if !ok || len(s.scenes) == 0 {
		return fmt.Errorf("%q is not \"NAME: TEXT\" in a scene", text)
	}
	return s.addLine(s.scenes[len(s.scenes)-1], who, strings.ReplaceAll(said, `\n`, "\n"))
}

// parseScene parses the head of a scene: "PHASE PLACE".
func (s *script) parseScene(head string, byKey map[string]*group) error {
	phase, place, _ := strings.Cut(head, " ")
	if phase != phasePast && phase != phaseUnread && phase != phaseLive {
		return fmt.Errorf("unknown phase %q: must be past, unread or live", phase)
	}
	sc := &scene{phase: phase, place: place, group: byKey[place]}
	if sc.group == nil {
		a, b, ok := strings.Cut(place, " + ")
		if !ok || a == b {
			return fmt.Errorf("unknown place %q: must be a group or \"A + B\"", place)
		}
		sc.pair = [2]string{a, b}
	}
	s.scenes = append(s.scenes, sc)
	return nil
}

// addLine adds a message to a scene.
func (s *script) addLine(sc *scene, who, text string) error {
	switch {
	case who == guestName && sc.phase != phasePast:
		return fmt.Errorf("the guest can't speak in the phase %s", sc.phase)
	case sc.group == nil && who != sc.pair[0] && who != sc.pair[1]:
		return fmt.Errorf("%s is not one of %s", who, sc.place)
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

// scenesByPlace returns the scenes of a phase, grouped by place, in the order of
// the script.
func (s *script) scenesByPlace(phase string) [][]*scene {
	var all [][]*scene
	at := make(map[string]int)
	for _, sc := range s.scenes {
		if sc.phase != phase {
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
