package main

import (
	"context"
	"fmt"
	"strings"
)

// command is a line-mode command, entered as name:argument:argument. The last
// argument takes the rest of the line, including colons.
type command struct {
	name    string
	args    []string // names for the usage; "[name]" is optional
	help    string
	noLogin bool // needs no login
	secret  bool // may contain a password: not added to the history
	run     func(a *app, ctx context.Context, args []string) error
}

// commands returns all commands in the order of the help.
func commands() []command {
	return []command{
		{name: "help", help: "show this list", noLogin: true, run: (*app).help},
		{name: "chat", args: []string{"user", "message"}, help: "send a message to a user", run: (*app).chat},
		{name: "addfriend", args: []string{"user"}, help: "add a friend", run: (*app).addFriend},
		{name: "creategroup", args: []string{"name", "description"}, help: "create a group; the description may be empty", run: (*app).createGroup},
		{name: "addgroup", args: []string{"groupid"}, help: "join a group", run: (*app).addGroup},
		{name: "groupchat", args: []string{"group", "message"}, help: "send a message to a group", run: (*app).groupChat},
		{name: "logout", help: "log out; the next login needs your password", run: (*app).logOut},

		{name: "friends", help: "list your friends", run: (*app).friends},
		{name: "groups", help: "list your groups and their members", run: (*app).groups},
		{name: "conversations", help: "list your chats, latest first", run: (*app).conversations},
		{name: "history", args: []string{"who", "[n]"}, help: "show the last n messages (default 20)", run: (*app).history},
		{name: "read", args: []string{"who"}, help: "mark a chat as read", run: (*app).read},
		{name: "typing", args: []string{"who"}, help: "send a typing notification", run: (*app).typing},
		{name: "find", args: []string{"user"}, help: "find a user by name or ID", run: (*app).find},
		{name: "delfriend", args: []string{"user"}, help: "remove a friend", run: (*app).delFriend},
		{name: "block", args: []string{"user"}, help: "block a user", run: (*app).block},
		{name: "unblock", args: []string{"user"}, help: "unblock a user", run: (*app).unblock},
		{name: "members", args: []string{"group"}, help: "list the members of a group", run: (*app).members},
		{name: "leavegroup", args: []string{"group"}, help: "leave a group", run: (*app).leaveGroup},
		{name: "kickmember", args: []string{"group", "user"}, help: "remove a member from a group you created", run: (*app).kickMember},
		{name: "deletegroup", args: []string{"group"}, help: "delete a group you created", run: (*app).dismissGroup},
		{name: "passwd", args: []string{"[old]", "[new]"}, help: "change your password; prompts for missing arguments", secret: true, run: (*app).passwd},

		{name: "login", args: []string{"[name]", "[password]"}, help: "log in; prompts for missing arguments", noLogin: true, secret: true, run: (*app).logIn},
		{name: "register", args: []string{"[name]", "[password]"}, help: "register and log in; prompts for missing arguments", noLogin: true, secret: true, run: (*app).register},
		{name: "wait", args: []string{"seconds"}, help: "keep receiving for this long; for scripts", noLogin: true, run: (*app).wait},
		{name: "quit", help: "quit; with --token-file you stay logged in", noLogin: true, run: (*app).quit},
	}
}

// aliases are former names of commands, which still work.
var aliases = map[string]string{"loginout": "logout", "dismissgroup": "deletegroup"}

// usage returns the syntax of a command, such as "chat:user:message". Optional
// arguments are in brackets: "history:who[:n]".
func (c *command) usage() string {
	syntax := c.name
	for _, arg := range c.args {
		if name, optional := strings.CutPrefix(arg, "["); optional {
			syntax += "[:" + name
		} else {
			syntax += ":" + arg
		}
	}
	return syntax
}

// required returns the number of required arguments.
func (c *command) required() (n int) {
	for _, arg := range c.args {
		if !strings.HasPrefix(arg, "[") {
			n++
		}
	}
	return n
}

// parse returns the command in a line and its arguments. args is shorter if
// optional arguments are missing. The error is shown to the user.
func parse(table []command, line string) (*command, []string, error) {
	name, rest, more := strings.Cut(strings.TrimLeft(line, " \t"), ":")
	name = strings.TrimSpace(name)
	if to, ok := aliases[name]; ok {
		name = to
	}
	for i := range table {
		c := &table[i]
		if c.name != name {
			continue
		}
		if len(c.args) == 0 {
			if more {
				return nil, nil, fmt.Errorf("%s takes no arguments", c.name)
			}
			return c, nil, nil
		}
		var args []string
		if more {
			args = strings.SplitN(rest, ":", len(c.args))
		}
		// Spaces around names and IDs are dropped, but belong to a message or
		// password.
		for j := range args {
			if c.args[j] != "message" && !c.secret {
				args[j] = strings.TrimSpace(args[j])
			}
		}
		if len(args) < c.required() {
			return nil, nil, fmt.Errorf("usage: %s", c.usage())
		}
		for j := range c.required() {
			if args[j] == "" && c.args[j] != "description" {
				return nil, nil, fmt.Errorf("%s is missing; usage: %s", c.args[j], c.usage())
			}
		}
		return c, args, nil
	}
	return nil, nil, fmt.Errorf("unknown command %q; help lists the commands", name)
}
