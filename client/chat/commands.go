package main

import (
	"context"
	"fmt"
	"strings"
)

// command is a command of the line mode, entered as name:argument:argument. The
// last argument takes the rest of the line, including colons.
type command struct {
	name    string
	args    []string // their names in the usage; optional ones in []
	help    string
	noLogin bool // works without a login
	secret  bool // the line is not added to the history
	run     func(a *app, ctx context.Context, args []string) error
}

// commands returns all commands in help order. The first seven are those of the
// original project.
func commands() []command {
	return []command{
		{name: "help", help: "list the commands", noLogin: true, run: (*app).help},
		{name: "chat", args: []string{"friendid", "message"}, help: "send a message to a user", run: (*app).chat},
		{name: "addfriend", args: []string{"friendid"}, help: "become friends", run: (*app).addFriend},
		{name: "creategroup", args: []string{"groupname", "groupdesc"}, help: "make a group", run: (*app).createGroup},
		{name: "addgroup", args: []string{"groupid"}, help: "join a group", run: (*app).addGroup},
		{name: "groupchat", args: []string{"groupid", "message"}, help: "send a message to a group", run: (*app).groupChat},
		{name: "loginout", help: "log out; the next login needs the password", run: (*app).logOut},

		{name: "friends", help: "list friends", run: (*app).friends},
		{name: "groups", help: "list groups and their members", run: (*app).groups},
		{name: "conversations", help: "list conversations, the latest first", run: (*app).conversations},
		{name: "history", args: []string{"who", "[n]"}, help: "show the last n (20) messages with a user or group", run: (*app).history},
		{name: "read", args: []string{"who"}, help: "mark what has come as read", run: (*app).read},
		{name: "typing", args: []string{"who"}, help: "tell that you are typing", run: (*app).typing},
		{name: "find", args: []string{"name"}, help: "look for a user", run: (*app).find},
		{name: "delfriend", args: []string{"friendid"}, help: "end a friendship", run: (*app).delFriend},
		{name: "block", args: []string{"userid"}, help: "keep a user away", run: (*app).block},
		{name: "unblock", args: []string{"userid"}, help: "no longer keep a user away", run: (*app).unblock},
		{name: "members", args: []string{"groupid"}, help: "list all members of a group", run: (*app).members},
		{name: "leavegroup", args: []string{"groupid"}, help: "leave a group", run: (*app).leaveGroup},
		{name: "kickmember", args: []string{"groupid", "userid"}, help: "remove a member from your group", run: (*app).kickMember},
		{name: "dismissgroup", args: []string{"groupid"}, help: "end your group", run: (*app).dismissGroup},
		{name: "passwd", args: []string{"[old]", "[new]"}, help: "change the password; asks for what is missing", secret: true, run: (*app).passwd},

		{name: "login", args: []string{"[name]", "[password]"}, help: "log in; asks for what is missing", noLogin: true, secret: true, run: (*app).logIn},
		{name: "register", args: []string{"[name]", "[password]"}, help: "register and log in; asks for what is missing", noLogin: true, secret: true, run: (*app).register},
		{name: "wait", args: []string{"seconds"}, help: "do nothing but receive, for scripts", noLogin: true, run: (*app).wait},
		{name: "quit", help: "end, and stay logged in where a token file is kept", noLogin: true, run: (*app).quit},
	}
}

// usage returns the form of a command, such as "chat:friendid:message". Optional
// arguments are in brackets: "history:who[:n]".
func (c *command) usage() string {
	form := c.name
	for _, arg := range c.args {
		if name, optional := strings.CutPrefix(arg, "["); optional {
			form += "[:" + name
		} else {
			form += ":" + arg
		}
	}
	return form
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

// parse returns the command in a line and its arguments. Missing optional
// arguments are left out at the end. The error is for the user.
func parse(table []command, line string) (*command, []string, error) {
	name, rest, more := strings.Cut(strings.TrimLeft(line, " \t"), ":")
	name = strings.TrimSpace(name)
	for i := range table {
		c := &table[i]
		if c.name != name {
			continue
		}
		if len(c.args) == 0 {
			if more {
				return nil, nil, fmt.Errorf("%s takes no argument", c.name)
			}
			return c, nil, nil
		}
		var args []string
		if more {
			args = strings.SplitN(rest, ":", len(c.args))
		}
		// Messages are taken as they are. Names and IDs are trimmed.
		for j := range args {
			if c.args[j] != "message" && !c.secret {
				args[j] = strings.TrimSpace(args[j])
			}
		}
		if len(args) < c.required() {
			return nil, nil, fmt.Errorf("usage: %s", c.usage())
		}
		for j := range c.required() {
			if args[j] == "" && c.args[j] != "groupdesc" {
				return nil, nil, fmt.Errorf("%s is missing; usage: %s", c.args[j], c.usage())
			}
		}
		return c, args, nil
	}
	return nil, nil, fmt.Errorf("no command is called %q; help lists them", name)
}
