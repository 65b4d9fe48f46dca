package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"chatd/client"
	"chatd/proto"
)

func (a *app) logIn(ctx context.Context, args []string) error {
	name, password, err := a.ask(ctx, args)
	if err != nil {
		return err
	}
	return a.logInAs(ctx, name, password)
}

func (a *app) register(ctx context.Context, args []string) error {
	name, password, err := a.ask(ctx, args)
	if err != nil {
		return err
	}
	return a.registerAs(ctx, name, password, a.opt.Code)
}

// ask returns the name and password from args and prompts for what is missing.
func (a *app) ask(ctx context.Context, args []string) (name, password string, err error) {
	if a.online.Load() {
		return "", "", errors.New("already logged in; use logout first")
	}
	if len(args) > 0 {
		name = args[0]
	} else if name, err = a.con.readLine(ctx, "username: "); err != nil {
		return "", "", err
	}
	if len(args) > 1 {
		return name, args[1], nil
	}
	password, err = a.con.readSecret(ctx, "password: ")
	return name, password, err
}

// registerAs registers and logs in. On a terminal, it asks for an invitation code if
// the server needs one.
func (a *app) registerAs(ctx context.Context, name, password, code string) error {
	rctx, cancel := withTimeout(ctx)
	defer cancel()
	id, err := a.c.RegisterWithCode(rctx, name, password, code)
	if refused := new(proto.Error); errors.As(err, &refused) && refused.Errno == proto.NotFound && code == "" && a.con.terminal {
		if code, err = a.con.readLine(ctx, "invitation code: "); err != nil {
			return err
		}
		if code = strings.TrimSpace(code); code != "" {
			return a.registerAs(ctx, name, password, code)
		}
		err = refused
	}
	if refused := new(proto.Error); errors.As(err, &refused) && refused.Errno == proto.NotFound {
		return fmt.Errorf("%s; use --code with a valid invitation code", strings.TrimRight(refused.Message, "."))
	}
	if err != nil {
		return err
	}
	a.con.print("registered: %d %s", id, name)
	return a.logInAs(ctx, name, password)
}

func (a *app) logInAs(ctx context.Context, name, password string) error {
	return a.signIn(ctx, func(ctx context.Context) error { return a.c.Login(ctx, name, password) })
}

// signIn logs in and waits until the welcome and unread messages are printed.
func (a *app) signIn(ctx context.Context, login func(context.Context) error) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	a.welcome.Store(true)
	if err := login(ctx); err != nil {
		a.welcome.Store(false)
		return err
	}
	return a.c.Handled(ctx)
}

func (a *app) logOut(ctx context.Context, _ []string) error {
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	if a.c.State() == client.LoggedIn { // Logout would drop pending messages
		a.c.Flush(ctx)
	}
	a.online.Store(false)
	if err := a.c.Logout(ctx); errors.Is(err, client.ErrNotConnected) || errors.Is(err, context.DeadlineExceeded) {
		return errors.New("logged out here, but the server couldn't be reached and may still accept this login; to revoke it, change your password")
	} else if err != nil {
		return err
	}
	a.con.print("logged out")
	return nil
}

func (a *app) passwd(ctx context.Context, args []string) error {
	for _, prompt := range []string{"current password: ", "new password: "}[len(args):] {
		s, err := a.con.readSecret(ctx, prompt)
		if err != nil {
			return err
		}
		args = append(args, s)
	}
	if a.con.terminal {
		again, err := a.con.readSecret(ctx, "confirm new password: ")
		if err != nil {
			return err
		}
		if again != args[1] {
			return errors.New("passwords don't match; password not changed")
		}
	}
	ctx, cancel := withTimeout(ctx)
	defer cancel()
	if err := a.c.ChangePassword(ctx, args[0], args[1]); err != nil {
		return err
	}
	a.con.print("password changed; your other devices were logged out")
	return nil
}
