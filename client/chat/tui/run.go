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
	Server   string        // address shown to the user
	Name     string        // user to log in, or the default in the form
	Password string
	Register bool // register first

	In, Out *os.File  // the terminal
	Err     io.Writer // for messages after the screen is closed
}

// ErrUnsent means that messages were still unacknowledged at the end.
var ErrUnsent = errors.New("messages are left that the server has not acknowledged")

// restore resets modes that some terminals keep when they leave the alternate
// screen.
const restore = ansi.ResetModeMouseButtonEvent + ansi.ResetModeMouseExtSgr + ansi.ResetModeFocusEvent +
	ansi.ResetModeBracketedPaste + ansi.SetModeTextCursorEnable + ansi.ResetStyle

// Run runs the program until the user quits or ctx is canceled, and restores the
// terminal. It returns ErrUnsent, or an error of the configuration, the terminal
// or saving the login. A panic is printed to Err.
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
		return errors.New("this is a fault of the program; what is above tells where")
	case err != nil && ctx.Err() == nil: // a closed terminal also sends a signal
		return fmt.Errorf("the terminal: %w", err)
	case cerr != nil:
		return fmt.Errorf("saving the login: %w", cerr)
	case unsent > 0:
		return ErrUnsent
	}
	return nil
}
