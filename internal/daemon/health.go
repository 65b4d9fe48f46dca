package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"chatd/service/ops"
)

// runHealth asks a running chatd whether it accepts connections, and prints a line.
// Containers and scripts use its exit code.
func runHealth(inv *invocation, stdout io.Writer) error {
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer cancel()
	address := inv.URL
	if address == "" {
		at := cmp.Or(inv.Ops.Health, inv.Ops.HTTP)
		if at == "" {
			return errors.New("health: --health and --http are off; name the URL of /readyz: chatd health http://HOST:PORT/readyz")
		}
		address = ops.HealthURL(at)
	}
	answer, err := ops.FetchHealth(ctx, address)
	if err != nil {
		// Another program may be listening there.
		return fmt.Errorf("health: %s", plain(err.Error()))
	}
	_, err = fmt.Fprintln(stdout, plain(answer))
	return err
}
