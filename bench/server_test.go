package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
)

// Users are spread over the nodes, and neighbours are never on the same one:
// each node of a cluster has had its part of the work.
func TestSpread(t *testing.T) {
	s := &server{addrs: []string{"a", "b", "c"}}
	for i := range 12 {
		if s.addrOf(i) != s.addrs[i%3] || s.addrOf(i) == s.addrOf(i+1) {
			t.Errorf("user %d is on %s, the next on %s", i, s.addrOf(i), s.addrOf(i+1))
		}
	}
}

// A server that was running may have several processes, each by its name.
func TestNamedProcesses(t *testing.T) {
	inv, err := parse([]string{"stream", "--addr", "127.0.0.1:1", "--pid", fmt.Sprint("node 1=", os.Getpid()), "--pid", fmt.Sprint("shell=", os.Getppid())}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(t.Context(), &inv.target, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	u, err := s.read()
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("only Linux has /proc as we read it")
	}
	if err != nil || len(u.parts) != 2 || u.parts[0].name != "node 1" || u.parts[1].name != "shell" || u.server.rss != u.parts[0].rss+u.parts[1].rss {
		t.Errorf("%+v, %v", u, err)
	}
}
