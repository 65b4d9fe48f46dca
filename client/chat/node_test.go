package main

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	"chatd/client"
)

// node is a chatd process with a database of its own.
type node struct {
	t    *testing.T
	dir  string
	host string
	port string
	cmd  *exec.Cmd
	logs sync.WaitGroup
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, dir: t.TempDir(), host: "127.0.0.1", port: "0"}
	n.start()
	t.Cleanup(n.kill)
	return n
}

// start starts chatd. Later calls use the same port as the first one.
func (n *node) start() {
	n.t.Helper()
	path, err := build()
	if err != nil {
		n.t.Fatal(err)
	}
	n.cmd = exec.Command(path, n.host, n.port, "--db", "sqlite:"+filepath.Join(n.dir, "chat.db"),
		"--http", "", "--argon2", "8,1,1", "--no-limits", "--log-format", "text")
	stderr, err := n.cmd.StderrPipe()
	if err != nil {
		n.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	address, found := regexp.MustCompile(`address=(\S+)`), make(chan string, 1)
	n.logs.Go(func() {
		defer close(found)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := address.FindStringSubmatch(lines.Text()); m != nil {
				select {
				case found <- m[1]:
				default:
				}
			}
		}
	})
	addr := <-found
	if _, n.port, err = net.SplitHostPort(addr); err != nil {
		n.t.Fatalf("chatd logged the address %q, want host:port: %v", addr, err)
	}
}

// operate runs an operator's command on the node's database.
func (n *node) operate(args ...string) {
	n.t.Helper()
	path, err := build()
	if err != nil {
		n.t.Fatal(err)
	}
	if out, err := exec.Command(path, append(args, "--db", "sqlite:"+filepath.Join(n.dir, "chat.db"))...).CombinedOutput(); err != nil {
		n.t.Fatalf("chatd %v: %v\n%s", args, err, out)
	}
}

// kill kills chatd without a shutdown.
func (n *node) kill() {
	if n.cmd.ProcessState == nil {
		_ = n.cmd.Process.Signal(os.Kill)
		n.logs.Wait()
		_ = n.cmd.Wait() // returns an error after a kill
	}
}

// user registers a user and logs in with the SDK.
func (n *node) user(name string) *client.Client {
	n.t.Helper()
	c, err := client.New(client.Config{Addrs: []string{net.JoinHostPort(n.host, n.port)}, Device: "sdk",
		BackoffMin: 10 * time.Millisecond, BackoffMax: 100 * time.Millisecond})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { _ = c.Close() })
	ctx := n.ctx()
	if _, err = c.Register(ctx, name, "secret-1"); err == nil {
		err = c.Login(ctx, name, "secret-1")
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

// ctx returns a context that limits a call to waitFor.
func (n *node) ctx() context.Context {
	ctx, cancel := context.WithTimeout(n.t.Context(), waitFor)
	n.t.Cleanup(cancel)
	return ctx
}

// say sends messages and waits until they are stored.
func (n *node) say(c *client.Client, to client.Conv, texts ...string) {
	n.t.Helper()
	for _, s := range texts {
		if err := c.SendAsync(to, s, nil); err != nil {
			n.t.Fatal(err)
		}
	}
	if err := c.Flush(n.ctx()); err != nil {
		n.t.Fatal(err)
	}
}

// befriend makes two users friends.
func (n *node) befriend(a, b *client.Client) {
	n.t.Helper()
	id, _ := b.Me()
	if _, err := a.AddFriend(n.ctx(), id); err != nil {
		n.t.Fatal(err)
	}
}

// me returns the conversation with c's user.
func me(c *client.Client) client.Conv {
	id, _ := c.Me()
	return client.User(id)
}
