package main

import (
	"strings"
	"testing"

	"chatd/proto"
)

// The script is complete: it has all phases, everyone who writes to the guest
// exists, and the server accepts all names and texts.
func TestScript(t *testing.T) {
	s, err := readScript(strings.NewReader(scriptText))
	if err != nil {
		t.Fatal(err)
	}
	for _, phase := range []string{phasePast, phaseUnread, phaseLive} {
		if len(s.scenesByPlace(phase)) < 3 {
			t.Errorf("%s: people talk in %d places", phase, len(s.scenesByPlace(phase)))
		}
	}
	for _, name := range s.people {
		if proto.CheckName(name) != nil {
			t.Errorf("invalid name %q", name)
		}
	}
	for _, g := range s.groups {
		if !strings.HasSuffix(g.name, "(demo)") || len(g.members) < 2 || len(g.name) > 50 {
			t.Errorf("the group %q of %q", g.name, g.members)
		}
	}
	for _, sc := range s.scenes {
		for _, l := range sc.lines {
			if l.text == "" || len(l.text) > proto.MaxMsg {
				t.Errorf("%s says %d bytes in %s", l.who, len(l.text), sc.place)
			}
		}
		if sc.phase == phaseLive && sc.pair != [2]string{} && !(known(s, sc.pair[0]) && known(s, sc.pair[1])) {
			t.Errorf("unknown name in %s", sc.place)
		}
	}
}

func known(s *script, name string) bool {
	for _, p := range s.people {
		if p == name {
			return true
		}
	}
	return false
}

// A mistake in the script is reported with its line.
func TestScriptErrors(t *testing.T) {
	for text, want := range map[string]string{
		"== live tea\nMei: x":                        "line 1: unknown place \"tea\"",
		"== later Mei + Olu":                         "line 1: unknown phase \"later\"",
		"Mei: hello":                                 "line 1: \"Mei: hello\" is not",
		"== live Mei + Mei":                          "line 1",
		"\n# x\n== live Mei + Olu\nTomas: hi":        "line 4: Tomas is not one of Mei + Olu",
		"== unread Mei + guest\nguest: hi":           "line 2: the guest can't speak",
		"== live Mei + Olu":                          "scene \"live Mei + Olu\" is empty",
		"group tea: Tea":                             "line 1: ",
		"group t: A: b\ngroup t: A: b":               "line 2: duplicate group",
		"group t: A: b\n== live t\nMei without text": "line 3: ",
	} {
		if _, err := readScript(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// A newcomer gets an answer in their language that fits, and is never told that
// a person wrote it.
func TestAnswer(t *testing.T) {
	for text, want := range map[string]string{
		"hello":                           "script",
		"Hi!":                             "script",
		"who are you":                     "scripts",
		"are you a bot?":                  "scripts",
		"thanks":                          "Any time",
		"这是什么?":                           "脚本",
		"你好":                              "脚本",
		"谢谢":                              "不客气",
		"why is the sky blue?":            "written down",
		strings.Repeat("a long one ", 50): "long one",
	} {
		if got := answerText("Mei", "bob", text, 0); !strings.Contains(got, want) {
			t.Errorf("%q is answered %q", text, got)
		}
	}
	if answerText("Mei", "bob", "this chimes", 0) == answerText("Mei", "bob", "this chimes", 1) {
		t.Error("two messages get the same answer") // and "this" is no "hi"
	}
}
