package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"chatd/client"
	"chatd/client/chat/text"
	"chatd/proto"
)

// patience is how long a command waits for the server, and the end for
// what is not acknowledged.
const patience = 30 * time.Second

const menu = "1. login  2. register  3. quit"

// app is the chat between the screen and the client. Its methods are called
// by run's goroutine, those of handlers.go by the client's.
type app struct {
	c      *client.Client
	scr    *screen
	opt    options
	table  []command
	failed atomic.Bool // an error was told
	online atomic.Bool // logged in, be it without a connection at the moment
	greet  atomic.Bool // the next login shows who and what there is
	over   bool        // quit was said
}

func newApp(scr *screen, opt options) *app {
	return &app{scr: scr, opt: opt, table: commands()}
}

// fail tells of an error, and makes the exit code 1.
func (a *app) fail(format string, args ...any) {
	a.failed.Store(true)
	a.scr.fail(format, args...)
}

// run reads lines and does what they say, until they or ctx end.
func (a *app) run(ctx context.Context) {
	if err := a.start(ctx); err != nil {
		a.fail("%s", told(err))
		if !a.scr.terminal {
			return
		}
	}
	for !a.over && ctx.Err() == nil {
		if !a.online.Load() && a.scr.terminal {
			a.scr.print(menu)
		}
		line, err := a.scr.line(ctx, a.prompt())
		if err != nil {
			if err != io.EOF && err != errInterrupt && ctx.Err() == nil {
				a.fail("%v", err)
			}
			break
		}
		a.do(ctx, line)
	}
	a.end(ctx)
}

// start logs in with what the command line gives; nothing is no error.
func (a *app) start(ctx context.Context) error {
	switch {
	case a.opt.Register:
		return a.registerAs(ctx, a.opt.Name, a.opt.Password)
	case a.resumable():
		err := a.signIn(ctx, a.c.Resume)
		if err == nil || a.opt.Password == "" {
			return err
		}
	}
	if a.opt.Name == "" {
		return nil
	}
	password := a.opt.Password
	if password == "" {
		if !a.scr.terminal {
			return errors.New("--name needs --password, $CHAT_PASSWORD, or a token file with a login")
		}
		var err error
		if password, err = a.scr.secret(ctx, "password: "); err != nil {
			return err
		}
	}
	return a.logInAs(ctx, a.opt.Name, password)
}

// resumable reports whether the token file has a login of the user asked for.
func (a *app) resumable() bool {
	id, name := a.c.Me()
	return a.c.Token() != "" && (a.opt.Name == "" || strings.EqualFold(a.opt.Name, name) || a.opt.Name == strconv.FormatInt(id, 10))
}

// do does what a line says.
func (a *app) do(ctx context.Context, line string) {
	line = strings.TrimRight(line, "\r")
	if strings.TrimSpace(line) == "" {
		return
	}
	if !a.online.Load() {
		switch strings.TrimSpace(line) {
		case "1":
			line = "login"
		case "2":
			line = "register"
		case "3":
			line = "quit"
		}
	}
	c, args, err := parse(a.table, line)
	if err != nil {
		a.fail("%v", err)
		return
	}
	if !c.secret {
		a.scr.save(line)
	}
	if !c.always && !a.online.Load() {
		a.fail("not logged in: login or register first")
		return
	}
	if err := c.run(a, ctx, args); err != nil && ctx.Err() == nil {
		a.fail("%s", told(err))
	}
}

// end waits for what is under way.
func (a *app) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience+a.opt.Linger)
	defer cancel()
	if a.online.Load() && a.c.Flush(ctx) != nil {
		a.fail("messages are left that the server has not acknowledged")
	}
	if !a.scr.terminal && !a.over {
		sleep(ctx, a.opt.Linger)
	}
	a.c.Handled(ctx) // where it ends first, what isn't shown comes at the next login
}

func (a *app) prompt() string {
	if !a.online.Load() {
		return "choice: "
	}
	_, name := a.c.Me()
	return text.Clean(name) + "> "
}

// told is an error as a user is told of it.
func told(err error) string {
	var refused *proto.Error
	switch {
	case errors.As(err, &refused):
		return refused.Message
	case errors.Is(err, context.DeadlineExceeded):
		return "the server does not answer"
	case errors.Is(err, errInterrupt):
		return "interrupted"
	case err == io.EOF: // of the input: those of a connection are wrapped
		return "the input has ended"
	}
	return strings.TrimPrefix(err.Error(), "client: ")
}

// user finds the user that an id, or the name of a friend or of anybody,
// means.
func (a *app) user(ctx context.Context, s string) (proto.Friend, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	for _, f := range a.c.Friends() {
		if err == nil && f.ID == id || err != nil && f.Name == s {
			return f, nil
		}
	}
	if err == nil {
		return proto.Friend{ID: id, Name: s}, nil
	}
	f, err := a.c.FindUser(ctx, s)
	if refused := new(proto.Error); errors.As(err, &refused) && refused.Errno == proto.NotFound {
		err = fmt.Errorf("no user is called %q", s)
	}
	return f, err
}

// group finds the group that an id, or the name of one of the user's, means.
func (a *app) group(s string) (proto.Group, error) {
	id, err := strconv.ParseInt(s, 10, 64)
	var found []proto.Group
	for _, g := range a.c.Groups() {
		if err == nil && g.ID == id || err != nil && g.GroupName == s {
			found = append(found, g)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return proto.Group{}, fmt.Errorf("%d groups are called %q: say the id", len(found), s)
	case err == nil:
		return proto.Group{ID: id, GroupName: s}, nil
	}
	return proto.Group{}, fmt.Errorf("you are in no group that is called %q", s)
}

// who finds a conversation: an id or name of a user, the name of a group,
// or g and the id of one. It also returns what to call it.
func (a *app) who(ctx context.Context, s string) (client.Conv, string, error) {
	if id, err := strconv.ParseInt(strings.TrimPrefix(s, "g"), 10, 64); err == nil && strings.HasPrefix(s, "g") {
		return client.Group(id), a.called(client.Group(id)), nil
	}
	u, err := a.user(ctx, s)
	if err == nil {
		return client.User(u.ID), u.Name, nil
	}
	g, gerr := a.group(s)
	if gerr == nil {
		return client.Group(g.ID), g.GroupName, nil
	}
	if strings.Contains(gerr.Error(), "say the id") {
		err = gerr
	}
	return client.Conv{}, "", err
}

// called is the name of a conversation, where it is known, or its id.
func (a *app) called(conv client.Conv) string {
	if conv.Group != 0 {
		for _, g := range a.c.Groups() {
			if g.ID == conv.Group && g.GroupName != "" {
				return g.GroupName
			}
		}
		return strconv.FormatInt(conv.Group, 10)
	}
	if id, name := a.c.Me(); id == conv.Peer {
		return name
	}
	for _, f := range a.c.Friends() {
		if f.ID == conv.Peer {
			return f.Name
		}
	}
	return strconv.FormatInt(conv.Peer, 10)
}

// sleep waits, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
