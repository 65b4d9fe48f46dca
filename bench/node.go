package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"chatd/internal/services"
)

const (
	readyTimeout   = 2 * time.Second // of one question whether a node is ready
	nodeStop       = 20 * time.Second
	versionTimeout = 30 * time.Second
)

// node is a chatd that is started here. It keeps its addresses when it is
// started again.
type node struct{ *services.Service }

// newNode lays out a node on a store, which isn't started; redis is "" for one
// that has no others.
func newNode(f *services.Folder, t *target, name, store, redis string) (*node, error) {
	n := &node{}
	var err error
	n.Service, err = services.New(f, services.Program{Name: name, Path: t.Chatd, Ports: []int{0, 0}, StopTimeout: nodeStop,
		Args: func(ports []int) []string {
			args := []string{"127.0.0.1", strconv.Itoa(ports[0]), "--http", services.Address(ports[1]), "--db", store,
				"--no-limits", "--argon2", "8,1,1", "--log-format", "json"}
			if redis != "" {
				args = append(args, "--redis", redis, "--node", strings.ReplaceAll(name, " ", "-"))
			}
			return append(args, t.Args...)
		},
		Ready: func(*services.Service) error { return n.ready() }})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// addr is where clients connect.
func (n *node) addr() string { return services.Address(n.Port(0)) }

// http is its HTTP address as a URL.
func (n *node) http() string { return "http://" + services.Address(n.Port(1)) }

// ready is nil once the node takes clients.
func (n *node) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.http()+"/readyz", nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return err
	}
	if err := answer.Body.Close(); err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("/readyz: %s", answer.Status)
	}
	return nil
}

// versionOf asks a chatd for its version.
func versionOf(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, versionTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "chatd of an unknown version"
	}
	return strings.TrimSpace(string(out))
}
