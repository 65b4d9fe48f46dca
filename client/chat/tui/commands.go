package tui

import (
	"errors"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
)

// argKind is the kind of an argument. It decides how the argument is parsed and
// which completions are offered.
type argKind int

const (
	argWho   argKind = iota // user or group
	argUser                 // user
	argGroup                // group the user is in
	argWord                 // any word; no completions
	argText                 // the rest of the line; no completions
)

// arg is an argument of a command.
type arg struct {
	name     string
	kind     argKind
	optional bool // a missing user or group means the open conversation
}

// command is a slash command.
type command struct {
	name string
	args []arg
	help string
	run  func(m *model, args []string) tea.Cmd
}

// commands returns all commands in the order of the menu and the help. Commands
// that line mode has too have the same name there.
func commands() []command {
	who := arg{name: "name", kind: argWho}
	whoOpen := arg{name: "name", kind: argWho, optional: true}
	user := arg{name: "user", kind: argUser}
	userOpen := arg{name: "user", kind: argUser, optional: true}
	groupOpen := arg{name: "group", kind: argGroup, optional: true}
	return []command{
		{"chat", []arg{who, {"message", argText, true}}, "open a chat; with a message, send it", (*model).cmdChat},
		{"groupchat", []arg{{"group", argGroup, false}, {"message", argText, true}}, "open a group; with a message, send it", (*model).cmdGroupChat},
		{"addfriend", []arg{userOpen}, "add a friend", (*model).cmdAddFriend},
		{"creategroup", []arg{{"name", argWord, false}, {"description", argText, true}}, "create a group", (*model).cmdCreateGroup},
		{"addgroup", []arg{{"groupid", argWord, false}}, "join a group", (*model).cmdAddGroup},
		{"friends", nil, "list your friends", (*model).cmdFriends},
		{"groups", nil, "list your groups", (*model).cmdGroups},
		{"conversations", nil, "list your chats", (*model).cmdConversations},
		{"members", []arg{groupOpen}, "list the members of a group", (*model).cmdMembers},
		{"search", []arg{{"text", argText, true}}, "search the open chat", (*model).cmdSearch},
		{"find", []arg{{"user", argWord, false}}, "find a user by name or ID", (*model).cmdFind},
		{"notes", nil, "open Note to self", (*model).cmdNotes},
		{"read", []arg{whoOpen}, "mark a chat as read", (*model).cmdRead},
		{"delfriend", []arg{userOpen}, "remove a friend", (*model).cmdDelFriend},
		{"block", []arg{userOpen}, "block a user", (*model).cmdBlock},
		{"unblock", []arg{userOpen}, "unblock a user", (*model).cmdUnblock},
		{"leavegroup", []arg{groupOpen}, "leave a group", (*model).cmdLeaveGroup},
		{"kickmember", []arg{user, groupOpen}, "remove a member from a group you created", (*model).cmdKickMember},
		{"deletegroup", []arg{groupOpen}, "delete a group you created", (*model).cmdDismissGroup},
		{"retry", nil, "resend failed messages", (*model).cmdRetry},
		{"discard", nil, "discard failed messages", (*model).cmdDiscard},
		{"passwd", nil, "change your password", (*model).cmdPasswd},
		{"info", nil, "show connection details", (*model).cmdInfo},
		{"help", nil, "show keys and commands", (*model).cmdHelp},
		{"logout", nil, "log out of this device", (*model).cmdLogOut},
		{"quit", nil, "quit", (*model).cmdQuit},
	}
}

// aliases are former names of commands, which still work.
var aliases = map[string]string{"loginout": "logout", "dismissgroup": "deletegroup"}

// usage returns the syntax of the command, such as "/chat <name> [message]".
func (c *command) usage() string {
	syntax := "/" + c.name
	for _, a := range c.args {
		if a.optional {
			syntax += " [" + a.name + "]"
		} else {
			syntax += " <" + a.name + ">"
		}
	}
	return syntax
}

// isCommand reports whether s is a command. A leading // isn't one: it sends a
// message that starts with a single slash.
func isCommand(s string) bool { return strings.HasPrefix(s, "/") && !strings.HasPrefix(s, "//") }

// parseCommand returns the command in s and its arguments. args is shorter if
// optional arguments are missing. The error is shown to the user.
func parseCommand(table []command, s string) (*command, []string, error) {
	words := splitWords(strings.TrimPrefix(s, "/"))
	if len(words) == 0 {
		return nil, nil, errors.New("type a command after the slash; /help lists them")
	}
	name := words[0].text
	if to, ok := aliases[name]; ok {
		name = to
	}
	for i := range table {
		c := &table[i]
		if c.name != name {
			continue
		}
		var args []string
		rest := s[1:]
		for j, w := range words[1:] {
			if j >= len(c.args) {
				return nil, nil, fmt.Errorf("/%s takes no arguments", c.name)
			}
			// The last argument takes the rest of the line, so that a name with
			// spaces needs no quotation marks there.
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
	return nil, nil, fmt.Errorf("unknown command /%s. See /help, or type // to send a slash", name)
}

// word is a word of a line. A word in quotation marks may contain spaces.
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

// quote puts s in quotation marks if it contains spaces.
func quote(s string) string {
	if strings.ContainsAny(s, " ") {
		return `"` + s + `"`
	}
	return s
}
