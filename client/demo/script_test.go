package main

import (
	"strings"
	"testing"

	"chatd/proto"
)

// TestScript checks that the script has scenes in all phases, that everyone in a
// scene of two people exists, and that the server accepts all names and texts.
func TestScript(t *testing.T) {
	s, err := readScript(strings.NewReader(scriptText))
	if err != nil {
		t.Fatal(err)
	}
	for _, phase := range []string{phasePast, phaseUnread, phaseLive} {
		if len(s.scenesByPlace(phase)) < 3 {
			t.Errorf("phase %s has scenes in %d places, want at least 3", phase, len(s.scenesByPlace(phase)))
		}
	}
	for _, name := range s.people {
		if proto.CheckUserName(name) != nil {
			t.Errorf("the server refuses the user name %q", name)
		}
	}
	for _, g := range s.groups {
		if !strings.HasSuffix(g.name, "(demo)") || len(g.members) < 2 || len(g.name) > 50 {
			t.Errorf("group %q with members %q: want a name of at most 50 bytes that ends with \"(demo)\", and at least 2 members", g.name, g.members)
		}
	}
	for _, sc := range s.scenes {
		for _, l := range sc.lines {
			if l.text == "" || len(l.text) > proto.MaxMsg {
				t.Errorf("a message of %s in %s has %d bytes, want 1 to %d", l.who, sc.place, len(l.text), proto.MaxMsg)
			}
		}
		if sc.phase == phaseLive && sc.pair != [2]string{} && !(known(s, sc.pair[0]) && known(s, sc.pair[1])) {
			t.Errorf("scene %q: want both people to speak somewhere in the script", sc.place)
		}
	}
}

// known reports whether a person speaks in the script.
func known(s *script, name string) bool {
	for _, p := range s.people {
		if p == name {
			return true
		}
	}
	return false
}

// TestScriptErrors checks that errors in a script are reported with the line
// number.
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
			t.Errorf("readScript(%q): got error %v, want one with %q", text, err, want)
		}
	}
}

// TestAnswer checks that answers fit the message and its language, and don't
// pretend to come from a human.
func TestAnswer(t *testing.T) {
	for text, want := range map[string]string{
		"hello":                           "script",
		"Hi!":                             "script",
		"who are you":                     "scripts",
		"are you a bot?":                  "scripts",
		"thanks":                          "Any time",
		"这是什么?":                           "脚本",
		"这是什么？":                           "好问题",
		"你好":                              "脚本",
		"谢谢":                              "不客气",
		"why is the sky blue?":            "written down",
		strings.Repeat("a long one ", 50): "long one",
	} {
		if got := answerText("Mei", "bob", text, 0); !strings.Contains(got, want) {
			t.Errorf("answerText(%q) = %q, want %q in it", text, got, want)
		}
	}
	if answerText("Mei", "bob", "this chimes", 0) == answerText("Mei", "bob", "this chimes", 1) {
		t.Error("answerText returned the same answer for n = 0 and 1") // also if it took "this" for "hi"
	}
}
