package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 20 * time.Second // draining and closing take the server 10 s at most
	keepLines    = 5                // of its log, for errors
)

// child is a server that was started here.
type child struct {
	cmd  *exec.Cmd
	chat string // where clients connect
	http string // its HTTP address as a URL

	read chan struct{} // closed when its log has ended
	mu   sync.Mutex
	tail []string // the log's last lines
}

// logLine is what of a server's log line is of use here.
type logLine struct {
	Msg     string `json:"msg"`
	Address string `json:"address"`
	URL     string `json:"url"`
}

// startChild starts a server and blocks until it says where it listens: it
// chooses its ports itself, so that no other program can take them first.
func startChild(ctx context.Context, path string, args []string) (*child, error) {
	c := &child{cmd: exec.Command(path, args...), read: make(chan struct{})}
	// Ctrl-C is for chatbench, which then ends the server in its own time.
	c.cmd.SysProcAttr = ownGroup()
	log, err := c.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a server: %w; make build makes it, --chatd names another", err)
	}
	ready := make(chan struct{})
	go c.follow(log, ready)
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case <-ready:
		return c, nil
	case <-c.read:
		err = errors.New("it ended at once")
	case <-timer.C:
		err = fmt.Errorf("it was not ready after %s", startTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	err = fmt.Errorf("start %s: %w%s", path, err, c.lastWords())
	if stopErr := c.stop(); stopErr != nil && ctx.Err() == nil {
		err = errors.Join(err, stopErr)
	}
	return nil, err
}

// follow reads the log until its end, and closes ready when both addresses
// are known.
func (c *child) follow(log io.Reader, ready chan<- struct{}) {
	defer close(c.read)
	told := false
	for s := bufio.NewScanner(log); s.Scan(); {
		c.mu.Lock()
		if c.tail = append(c.tail, s.Text()); len(c.tail) > keepLines {
			c.tail = c.tail[1:]
		}
		c.mu.Unlock()
		var line logLine
		if told || json.Unmarshal(s.Bytes(), &line) != nil {
			continue
		}
		switch {
		case (line.Msg == "chatd serves" || line.Msg == relaySays) && line.Address != "":
			c.chat = line.Address
		case line.URL != "":
			c.http = strings.TrimSuffix(line.URL, "/")
		}
		if c.chat != "" && (c.http != "" || line.Msg == relaySays) {
			told = true
			close(ready)
		}
	}
	_, _ = io.Copy(io.Discard, log) // a line too long: the server must not block on its log
}

func (c *child) lastWords() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.tail) == 0 {
		return ""
	}
	return "; its log ends with:\n" + strings.Join(c.tail, "\n")
}

// stop has the server drain, by SIGTERM, and waits for its end; one that does
// not end in time is killed, which is an error. It may be called once.
func (c *child) stop() error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)                                  // has it ended by itself, Wait tells how
	killed := time.AfterFunc(stopTimeout, func() { _ = c.cmd.Process.Kill() }) // it has ended meanwhile
	<-c.read                                                                   // before Wait, which closes the pipe
	err := c.cmd.Wait()
	if !killed.Stop() {
		return fmt.Errorf("the server had not ended %s after SIGTERM and was killed%s", stopTimeout, c.lastWords())
	}
	if err != nil {
		return fmt.Errorf("the server ended badly: %w%s", err, c.lastWords())
	}
	return nil
}

// versionOf asks a chatd for its version.
func versionOf(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		return "chatd of an unknown version"
	}
	return strings.TrimSpace(string(out))
}
