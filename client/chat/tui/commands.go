package tui

import (
	"errors"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// argKind is the kind of an argument. It decides which completions are offered.
type argKind int

const (
	argWho   argKind = iota // user or group
	argUser                 // user
	argGroup                // group
	argWord                 // new name
	argText                 // rest of the line
)

// arg is an argument of a command.
type arg struct {
	name     string
	kind     argKind
	optional bool // if missing, the open conversation is meant
}

// command is a slash command.
type command struct {
	name string
	args []arg
	help string
	run  func(m *model, args []string) tea.Cmd
}

// commands returns all commands in menu order. Their names are the same as in
// line mode.
func commands() []command {
	who := arg{name: "who", kind: argWho}
	whoOpen := arg{name: "who", kind: argWho, optional: true}
	user := arg{name: "user", kind: argUser}
	userOpen := arg{name: "user", kind: argUser, optional: true}
	groupOpen := arg{name: "group", kind: argGroup, optional: true}
	return []command{
		{"chat", []arg{who, {"message", argText, true}}, "open a conversation, or write there", (*model).cmdChat},
		{"groupchat", []arg{{"group", argGroup, false}, {"message", argText, true}}, "the same with a group alone", (*model).cmdGroupChat},
		{"addfriend", []arg{userOpen}, "become friends", (*model).cmdAddFriend},
		{"creategroup", []arg{{"groupname", argWord, false}, {"groupdesc", argText, true}}, "make a group", (*model).cmdCreateGroup},
		{"addgroup", []arg{{"group id", argWord, false}}, "join a group", (*model).cmdAddGroup},
		{"friends", nil, "list friends", (*model).cmdFriends},
		{"groups", nil, "list groups", (*model).cmdGroups},
		{"conversations", nil, "list conversations", (*model).cmdConversations},
		{"members", []arg{groupOpen}, "list all members of a group", (*model).cmdMembers},
		{"search", []arg{{"words", argText, true}}, "search in the open conversation", (*model).cmdSearch},
		{"find", []arg{{"name", argWord, false}}, "look for a user", (*model).cmdFind},
		{"notes", nil, "write to oneself", (*model).cmdNotes},
		{"read", []arg{whoOpen}, "mark as read without looking", (*model).cmdRead},
		{"delfriend", []arg{userOpen}, "end a friendship", (*model).cmdDelFriend},
		{"block", []arg{userOpen}, "keep a user away", (*model).cmdBlock},
		{"unblock", []arg{userOpen}, "no longer keep a user away", (*model).cmdUnblock},
		{"leavegroup", []arg{groupOpen}, "leave a group", (*model).cmdLeaveGroup},
		{"kickmember", []arg{user, groupOpen}, "remove a member from your group", (*model).cmdKickMember},
		{"dismissgroup", []arg{groupOpen}, "end your group", (*model).cmdDismissGroup},
		{"retry", nil, "send again what could not be sent", (*model).cmdRetry},
		{"discard", nil, "drop what could not be sent", (*model).cmdDiscard},
		{"passwd", nil, "change the password", (*model).cmdPasswd},
		{"info", nil, "tell about the connection", (*model).cmdInfo},
		{"help", nil, "list commands and keys", (*model).cmdHelp},
		{"loginout", nil, "log out; the next login needs the password", (*model).cmdLogOut},
		{"quit", nil, "end", (*model).cmdQuit},
	}
}

// usage returns the form of the command, such as "/chat who [message]".
func (c *command) usage() string {
	form := "/" + c.name
	for _, a := range c.args {
		if a.optional {
			form += " [" + a.name + "]"
		} else {
			form += " " + a.name
		}
	}
	return form
}

// isCommand reports whether s is a command. A message may begin with a slash if
// it is doubled.
func isCommand(s string) bool { return strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") }

// parseCommand returns the command in s and its arguments. Missing optional
// arguments are left out at the end. The error is for the user.
func parseCommand(table []command, s string) (*command, []string, error) {
	words := splitWords(strings.TrimPrefix(s, "/"))
	if len(words) == 0 {
		return nil, nil, errors.New("a command is missing; /help lists them")
	}
	name := words[0].text
	for i := range table {
		c := &table[i]
		if c.name != name {
			continue
		}
		var args []string
		rest := s[1:]
		for j, w := range words[1:] {
			if j >= len(c.args) {
				return nil, nil, fmt.Errorf("/%s takes no argument", c.name)
			}
			// The last argument takes the rest of the line, so a name with
			// spaces needs no quotes there.
			if c.args[j].kind == argText || j == len(c.args)-1 && len(words)-1 > len(c.args) {
				args = append(args, strings.TrimSpace(rest[w.from:]))
				break
			}
			args = append(args, w.text)
		}
		need := 0
		for _, a := range c.args {
			if !a.optional {
				need++
			}
		}
		if len(args) < need {
			return nil, nil, fmt.Errorf("usage: %s", c.usage())
		}
		return c, args, nil
	}
	return nil, nil, fmt.Errorf("no command is called /%s; // begins a message with a slash", name)
}

// word is a word of a line. A quoted word may contain spaces.
type word struct {
	text   string
	from   int // byte offset in the line
	quoted bool
}

func splitWords(s string) (words []word) {
	for i := 0; i < len(s); {
		if s[i] == ' ' || s[i] == '\n' {
			i++
			continue
		}
		if s[i] == '"' {
			if end := strings.IndexByte(s[i+1:], '"'); end >= 0 {
				words = append(words, word{s[i+1 : i+1+end], i, true})
				i += end + 2
				continue
			}
		}
		end := strings.IndexAny(s[i:], " \n")
		if end < 0 {
			end = len(s) - i
		}
		words = append(words, word{s[i : i+end], i, false})
		i += end
	}
	return words
}

// quote quotes s if it contains spaces.
func quote(s string) string {
	if strings.ContainsAny(s, " ") {
		return `"` + s + `"`
	}
	return s
}
