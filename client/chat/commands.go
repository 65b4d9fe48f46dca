package main

import (
	"context"
	"fmt"
	"strings"
)

// command is one that may be typed: name:argument:argument. The last
// argument takes the rest of the line, colons and all.
type command struct {
	name   string
	args   []string // what they are, for the usage; those in [] may be missing
	help   string
	always bool // needs no login
	secret bool // the line is not remembered
	run    func(a *app, ctx context.Context, args []string) error
}

// commands are all there are, in the order of help. The first seven are
// those of the original.
func commands() []command {
	return []command{
		{name: "help", help: "list the commands", always: true, run: (*app).help},
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

		{name: "login", args: []string{"[name]", "[password]"}, help: "log in; asks for what is missing", always: true, secret: true, run: (*app).logIn},
		{name: "register", args: []string{"[name]", "[password]"}, help: "register and log in; asks for what is missing", always: true, secret: true, run: (*app).register},
		{name: "wait", args: []string{"seconds"}, help: "do nothing but receive, for scripts", always: true, run: (*app).wait},
		{name: "quit", help: "end, and stay logged in where a token file is kept", always: true, run: (*app).quit},
	}
}

// usage is the form of the command: "chat:friendid:message".
// What may be missing is in brackets: "history:who[:n]".
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

// required is how many arguments there must be.
func (c *command) required() (n int) {
	for _, arg := range c.args {
		if !strings.HasPrefix(arg, "[") {
			n++
		}
	}
	return n
}

// parse splits a line into a command and its arguments; those that may be
// missing are left out at the end. The error is a line for the user.
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
		// What is said is taken as it is; names and ids without blanks.
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
