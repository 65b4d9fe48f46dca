package main

import (
	"fmt"
	"strings"
	"unicode"
)

// answerText returns me's answer to a newcomer's message. n is how many answers
// me has given before. The answers don't pretend to come from a human.
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
	case chinese && strings.ContainsAny(text, "?\uff1f吗呢"):
		return "好问题！可惜我只是演示里的脚本，答不上来 😅 不过你的消息我收到了，也看过了。"
	case chinese && (strings.Contains(text, "谢") || strings.Contains(text, "再见")):
		return "不客气！随时再来 🍵"
	case chinese:
		return fmt.Sprintf("%s，你好！我是%s，这个演示里的一个脚本。随便发点什么，我会回复的。", newcomer, me)
	case has("hi", "hello", "hey", "moin", "hallo", "morning"):
		return fmt.Sprintf("Hi %s! I'm %s, one of the scripts in this demo. Good to have company 👋", newcomer, me)
	case has("who", "bot", "robot", "script", "real", "human"):
		return "We're all scripts here: our lines were written in advance. The server between us is real, though."
	case has("thanks", "thank", "bye", "goodbye"):
		return "Any time! Your messages stay here until the demo ends 🙂"
	case has("tea", "coffee"):
		return "You said the magic word. Can I get you an oolong? 🍵"
	case has("offline", "lost", "kill", "crash"):
		return "Try it: go offline, write a few messages, and come back. Each is sent once, and they arrive in order."
	case strings.ContainsAny(text, "?\uff1f"):
		return "I wish I knew! I can read and I can reply, but my lines were written down beforehand."
	case len(text) > 400:
		return "That's a long one! All of it arrived, I counted."
	}
	return fallbackAnswers[n%len(fallbackAnswers)]
}

var fallbackAnswers = [...]string{
	"Got it ✅ Try this: open a private window, register as someone else, and chat with yourself.",
	"Read! In a private chat, your message is marked as read by now.",
	"Nice! Did you see me typing just now?",
	"Say that in the tea room too. Someone there will answer.",
	"Understood. 你也可以发中文，我会用中文回复。",
	"I told the cat. The cat was not impressed.",
}

// welcomeText returns the greeting for a newcomer who has added the person as a
// friend, or joined one of the person's groups.
func welcomeText(me, newcomer, group string) string {
	if group != "" {
		return fmt.Sprintf("Welcome to %s, %s! Say something, one of us will answer.", group, newcomer)
	}
	return fmt.Sprintf("Hi %s! I'm %s, one of the scripts in this demo. Send me a message and I'll reply. 发中文也可以。", newcomer, me)
}
