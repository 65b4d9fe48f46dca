package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"chatd/client"
	"chatd/client/chat/text"
	"chatd/proto"
)

// requestTimeout limits each request, and the wait for pending messages on quit.
const requestTimeout = 30 * time.Second

const menu = "1. login  2. register  3. quit"

// app runs line mode. The handlers in event_handlers.go run on the client's
// goroutine, all other methods on the goroutine of run.
type app struct {
	c        *client.Client
	con      *console
	opt      options
	table    []command
	names    sync.Map    // names of users, by ID
	failed   atomic.Bool // an error was printed
	online   atomic.Bool // logged in, even if currently reconnecting
	welcome  atomic.Bool // show the welcome after the next login
	quitting bool        // quit was entered

	open  atomic.Pointer[client.Conv] // the conversation of the last command that names one; nil at first
	typed map[int64]time.Time         // when a user's typing was last printed, by ID; for onEvent only
	reads map[int64]int64             // up to which seq a user is known to have read, by ID; for onRead only
	now   func() time.Time
}

func newApp(con *console, opt options) *app {
	return &app{con: con, opt: opt, table: commands(), typed: map[int64]time.Time{}, reads: map[int64]int64{}, now: time.Now}
}

// fail prints an error and makes the exit code 1.
func (a *app) fail(format string, args ...any) {
	a.failed.Store(true)
	a.con.fail(format, args...)
}

// run reads and runs lines until the input ends or ctx is canceled.
func (a *app) run(ctx context.Context) {
	if err := a.start(ctx); err != nil {
		a.fail("%s", errorText(err))
		if !a.con.terminal {
			return
		}
	}
	for !a.quitting && ctx.Err() == nil {
		if !a.online.Load() && a.con.terminal {
			a.con.print(menu)
		}
		line, err := a.con.readLine(ctx, a.prompt())
		if err != nil {
			if err != io.EOF && err != errInterrupt && ctx.Err() == nil {
				a.fail("%v", err)
			}
			break
		}
		a.runLine(ctx, line)
	}
	a.finish(ctx)
}

// start logs in with the token file or the flags, if either contains a login.
func (a *app) start(ctx context.Context) error {
	switch {
	case a.opt.Register:
		return a.registerAs(ctx, a.opt.Name, a.opt.Password, a.opt.Code)
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
		if !a.con.terminal {
			return errors.New("--name needs a password: use --password, $CHAT_PASSWORD, or a --token-file with a saved login")
		}
		var err error
		if password, err = a.con.readSecret(ctx, "password: "); err != nil {
			return err
		}
	}
	return a.logInAs(ctx, a.opt.Name, password)
}

// resumable reports whether the token file has a login for the user in --name.
func (a *app) resumable() bool {
	id, name := a.c.Me()
	return a.c.Token() != "" && (a.opt.Name == "" || strings.EqualFold(a.opt.Name, name) || a.opt.Name == strconv.FormatInt(id, 10))
}

// runLine runs an input line.
func (a *app) runLine(ctx context.Context, line string) {
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
		a.con.remember(line)
	}
	if !c.noLogin && !a.online.Load() {
		a.fail("not logged in; use login or register first")
		return
	}
	if err := c.run(a, ctx, args); err != nil && ctx.Err() == nil {
		a.fail("%s", errorText(err))
	}
}

// finish waits until pending messages are acknowledged and received ones are
// printed.
func (a *app) finish(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout+a.opt.Linger)
	defer cancel()
	if a.online.Load() && a.c.Flush(ctx) != nil {
		a.fail("some messages may not have been sent: the server hasn't acknowledged them")
	}
	if !a.con.terminal && !a.quitting {
		sleep(ctx, a.opt.Linger)
	}
	a.c.Handled(ctx) // after a timeout, messages not printed are delivered again at the next login
}

func (a *app) prompt() string {
	if !a.online.Load() {
		return "choice: "
	}
	_, name := a.c.Me()
	return string(text.Sprintf("%s> ", name))
}

// errorText returns an error's text for the user.
func errorText(err error) string {
	var refused *proto.Error
	var kick *client.KickError
	switch {
	case errors.Is(err, client.ErrReplaced):
		return "logged in elsewhere with the same device name; to stay logged in on both, start one of them with a different --device NAME"
	case errors.As(err, &refused):
		return refused.Message
	case errors.As(err, &kick):
		return kick.Message
	case errors.Is(err, context.DeadlineExceeded):
		return "the server isn't responding"
	case errors.Is(err, client.ErrOutboxFull):
		return "too many unsent messages; wait until some are sent"
	case errors.Is(err, errInterrupt):
		return "interrupted"
	case err == io.EOF: // from readLine; the client wraps its errors
		return "unexpected end of input"
	}
	s := strings.TrimPrefix(err.Error(), "client: ")
	if errors.Is(err, client.ErrNotConnected) {
		if i := strings.LastIndex(s, ": "); i >= 0 {
			return "no connection to the server" + s[i:]
		}
		return "no connection to the server; try again later"
	}
	return s
}

// findUser finds a user by name or ID, friends first. It doesn't check that an
// ID exists: the request that follows does.
func (a *app) findUser(ctx context.Context, s string) (proto.Friend, error) {
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
	if err == nil {
		a.names.Store(f.ID, f.Name)
	}
	if refused := new(proto.Error); errors.As(err, &refused) && refused.Errno == proto.NotFound {
		err = fmt.Errorf("no user named %q", s)
	}
	return f, err
}

// errAmbiguous means that several of the user's groups have the same name.
var errAmbiguous = errors.New("ambiguous group name")

// findGroup finds a group by name or ID. A name must be that of one of the
// user's groups.
func (a *app) findGroup(s string) (proto.Group, error) {
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
		return proto.Group{}, fmt.Errorf("%w %q (%d groups); use the group ID", errAmbiguous, s, len(found))
	case err == nil:
		return proto.Group{ID: id, GroupName: s}, nil
	}
	return proto.Group{}, fmt.Errorf("you're not in a group named %q", s)
}

// openConversation opens a conversation, which it finds by a user's name or ID, a
// group's name, or g and a group's ID, as in g5. It also returns the conversation's
// name.
func (a *app) openConversation(ctx context.Context, s string) (conv client.Conv, name string, err error) {
	if conv, name, err = a.findConversation(ctx, s); err == nil {
		a.open.Store(&conv)
	}
	return conv, name, err
}

func (a *app) findConversation(ctx context.Context, s string) (client.Conv, string, error) {
	if id, err := strconv.ParseInt(strings.TrimPrefix(s, "g"), 10, 64); err == nil && strings.HasPrefix(s, "g") {
		return client.Group(id), a.convName(client.Group(id)), nil
	}
	u, err := a.findUser(ctx, s)
	if err == nil {
		return client.User(u.ID), u.Name, nil
	}
	g, gerr := a.findGroup(s)
	if gerr == nil {
		return client.Group(g.ID), g.GroupName, nil
	}
	if errors.Is(gerr, errAmbiguous) {
		err = gerr
	}
	return client.Conv{}, "", err
}

// convName returns a conversation's name, or its ID if the name isn't known.
func (a *app) convName(conv client.Conv) string {
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

// sleep waits for d or until ctx is canceled.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
