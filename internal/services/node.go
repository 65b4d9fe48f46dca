package services

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

const (
	readyzTimeout   = 2 * time.Second // of one /readyz request
	nodeStopTimeout = 20 * time.Second
)

// Node is a chatd process. It keeps its addresses when it is restarted.
type Node struct{ *Service }

// NewNode creates a chatd from its program and flags, and doesn't start it. The
// addresses are added to the flags.
func NewNode(f *Folder, name, chatd string, flags ...string) (*Node, error) {
	return NewNodeAt(f, name, chatd, 0, 0, flags...)
}

// NewNodeAt is NewNode with given ports, for clients and for HTTP. If a port is
// 0, it chooses one.
func NewNodeAt(f *Folder, name, chatd string, port, http int, flags ...string) (*Node, error) {
	n := &Node{}
	var err error
	n.Service, err = New(f, Program{Name: name, Path: chatd, Ports: []int{port, http}, StopTimeout: nodeStopTimeout,
		Args: func(ports []int) []string {
			return append([]string{"127.0.0.1", strconv.Itoa(ports[0]), "--http", Address(ports[1])}, flags...)
		},
		Ready: func(*Service) error { return n.ready() }})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Addr returns the address for clients.
func (n *Node) Addr() string { return Address(n.Port(0)) }

// HTTP returns the URL of its HTTP address.
func (n *Node) HTTP() string { return "http://" + Address(n.Port(1)) }

// ready returns nil once the node accepts clients.
func (n *Node) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), readyzTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.HTTP()+"/readyz", nil)
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
