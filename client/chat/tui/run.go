package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"chatd/client"
)

// Config is the configuration of Run.
type Config struct {
	Client   client.Config // Run sets its Handlers
	Server   string        // server address shown to the user
	Name     string        // name or ID to log in as; the login form asks if it is empty
	Password string        // the login form asks if it is empty and there is no saved login
	Register bool          // register before logging in
	Code     string        // invitation code to register with

	In, Out *os.File  // the terminal
	Err     io.Writer // for errors after the screen is closed
}

// ErrUnsent means that messages were still unacknowledged when Run returned.
var ErrUnsent = errors.New("some messages may not have been sent: the server hasn't acknowledged them")

// restore resets terminal modes. Some terminals don't when they leave the
// alternate screen.
const restore = ansi.ResetModeMouseButtonEvent + ansi.ResetModeMouseExtSgr + ansi.ResetModeFocusEvent +
	ansi.ResetModeBracketedPaste + ansi.SetModeTextCursorEnable + ansi.ResetStyle

// Run runs the full-screen client until the user quits or ctx is canceled. Then
// it restores the terminal. It returns ErrUnsent, or an error of the
// configuration, of the terminal, or of saving the login. After a panic, the
// stack trace is on the terminal and Run returns an error.
func Run(ctx context.Context, cfg Config) error {
	box := newMailbox()
	cfg.Client.Handlers = box.handlers()
	c, err := client.New(cfg.Client)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	m := newModel(inner, cfg, c, box)
	// The caller handles signals by canceling ctx.
	p := tea.NewProgram(m, tea.WithInput(cfg.In), tea.WithOutput(cfg.Out), tea.WithoutSignalHandler())

	var wg sync.WaitGroup
	wg.Go(func() { box.deliver(p.Send) })
	stopped := context.AfterFunc(ctx, func() { p.Send(stopMsg{}) })
	_, err = p.Run()
	stopped()
	_, _ = io.WriteString(cfg.Out, restore) // fails if the terminal is gone
	cancel()
	unsent := m.pendingCount()
	box.close()
	cerr := c.Close()
	wg.Wait()
	switch {
	case errors.Is(err, tea.ErrProgramPanic):
		return errors.New("chat crashed. Please report the stack trace above. Messages that weren't sent are lost")
	case err != nil && ctx.Err() == nil: // a closed terminal also sends a signal
		return fmt.Errorf("can't use the full screen: %w; try --plain", err)
	case cerr != nil:
		return fmt.Errorf("couldn't save the login: %w", cerr)
	case unsent > 0:
		return ErrUnsent
	}
	return nil
}
