package target

import (
	"context"
	"os/exec"
	"slices"
	"strings"
	"time"

	"chatd/internal/services"
)

const versionTimeout = 30 * time.Second

// newNode prepares a node without starting it. redis is "" for a single node.
func newNode(f *services.Folder, t *Flags, name, store, redis string) (*services.Node, error) {
	flags := []string{"--db", store, "--argon2", "8,1,1", "--log-format", "json"}
	if !t.Limits {
		flags = append(flags, "--no-limits")
	} else { // all users register from one address
		flags = append(flags, "--registrations-per-day-per-addr", "0")
	}
	if redis != "" {
		flags = append(flags, "--redis", redis, "--node", strings.ReplaceAll(name, " ", "-"))
	}
	return services.NewNode(f, name, t.Chatd, slices.Concat(flags, t.Args)...)
}

func chatdVersion(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "chatd of an unknown version"
	}
	return strings.TrimSpace(string(out))
}
