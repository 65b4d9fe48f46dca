package main

import (
	"fmt"
	"strings"
	"unicode"
)

// answerText returns the answer of a scripted person to a newcomer's message; n
// counts the answers of that person. The answers say openly that they come from
// a script.
func answerText(me, newcomer, text string, n int) string {
	lower := strings.ToLower(text)
	has := func(words ...string) bool {
		for _, w := range strings.FieldsFunc(lower, func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' }) {
			for _, word := range words {
				if w == word {
					return true
				}
			}
		}
		return false
	}
	chinese := strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Han, r) })
	switch {
	case chinese && strings.ContainsAny(text, "??吗呢"):
		return "好问题!可惜我只是演示里的一段脚本,答不上来 😅 不过你的消息我已经收到并且读过了。"
	case chinese && (strings.Contains(text, "谢") || strings.Contains(text, "再见")):
		return "不客气!随时再来 🍵"
	case chinese:
		return fmt.Sprintf("%s,你好!我是%s,是这个演示里的脚本。你写的每一条我都会回复。", newcomer, me)
	case has("hi", "hello", "hey", "moin", "hallo", "morning"):
		return fmt.Sprintf("Hello %s! I'm %s, a script of this demo, and glad about company 👋", newcomer, me)
	case has("who", "bot", "robot", "script", "real", "human"):
		return "All of us here are scripts: somebody wrote down what we say. The server between us is real, though."
	case has("thanks", "thank", "bye", "goodbye"):
		return "Any time. What you wrote stays in the log until the demo ends 🙂"
	case has("tea", "coffee"):
		return "Now you have said the word. Oolong for you? ☕"
	case has("offline", "lost", "kill", "crash"):
		return "Try it: go offline, write something, come back. It is sent once, and arrives in order."
	case strings.ContainsAny(text, "?\uff1f"):
		return "I wish I knew! I can read, and I can answer, but what I say was written down beforehand."
	case len(text) > 400:
		return "That is a long one! All of it has arrived, I counted."
	}
	return fallbackAnswers[n%len(fallbackAnswers)]
}

var fallbackAnswers = [...]string{
	"Got it ✅ Open a second window, log in as somebody else, and talk to yourself across both.",
	"Read. You should see that at your message by now.",
	"Nice! Did you see the typing note before this came?",
	"Tell me in the tea room as well, somebody there will answer.",
	"Understood. 你也可以用中文写,我会用中文回答。",
	"I have told the cat. The cat was not impressed.",
}

// welcomeText returns the greeting for a newcomer who has added the person as a
// friend, or joined one of the person's groups.
func welcomeText(me, newcomer, group string) string {
	if group != "" {
		return fmt.Sprintf("Welcome to %s, %s! Say something, one of us answers.", group, newcomer)
	}
	return fmt.Sprintf("Hi %s! I'm %s, a script of the demo. Write to me and I'll answer. 也可以写中文。", newcomer, me)
}
