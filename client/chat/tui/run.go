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

// Config is what Run needs.
type Config struct {
	Client   client.Config // its Handlers are Run's
	Server   string        // as the screen names it
	Name     string        // who logs in, or is offered in the form
	Password string
	Register bool // register first

	In, Out *os.File  // the terminal
	Err     io.Writer // what is left to say once the screen is gone
}

// ErrUnsent says that the program has ended with messages that were never
// acknowledged.
var ErrUnsent = errors.New("messages are left that the server has not acknowledged")

// restore ends what might be left of the screen: terminals differ in what
// belongs to the alternate screen and what to both.
const restore = ansi.ResetModeMouseButtonEvent + ansi.ResetModeMouseExtSgr + ansi.ResetModeFocusEvent +
	ansi.ResetModeBracketedPaste + ansi.SetModeTextCursorEnable + ansi.ResetStyle

// Run shows the screen until its user, or ctx, ends it. It blocks; the
// terminal is as it was before when it returns, be it with an error: of a
// setting, of the terminal, of saving, ErrUnsent, or that of a panic, which
// is told on Err.
func Run(ctx context.Context, cfg Config) error {
	box := newMailbox()
	cfg.Client.Handlers = box.handlers()
	c, err := client.New(cfg.Client)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	m := newModel(inner, cfg, c, box)
	// Signals are the caller's, who ends ctx for them.
	p := tea.NewProgram(m, tea.WithInput(cfg.In), tea.WithOutput(cfg.Out), tea.WithoutSignalHandler())

	var wg sync.WaitGroup
	wg.Go(func() { box.deliver(p.Send) })
	stopped := context.AfterFunc(ctx, func() { p.Send(stopMsg{}) })
	_, err = p.Run()
	stopped()
	_, _ = io.WriteString(cfg.Out, restore) // a terminal that has gone needs none
	cancel()
	unsent := m.pendingCount()
	box.close()
	cerr := c.Close()
	wg.Wait()
	switch {
	case errors.Is(err, tea.ErrProgramPanic):
		return errors.New("this is a fault of the program; what is above tells where")
	case err != nil && ctx.Err() == nil: // a terminal that has gone comes with a signal
		return fmt.Errorf("the terminal: %w", err)
	case cerr != nil:
		return fmt.Errorf("saving the login: %w", cerr)
	case unsent > 0:
		return ErrUnsent
	}
	return nil
}
