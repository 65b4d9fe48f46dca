package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatd/client"
	"chatd/internal/realservice"
	"chatd/internal/testbuild"
	"chatd/proto"
)

// exampleClient is a client in docs/examples. command returns the command line that
// starts it, without name, password and peer.
type exampleClient struct {
	file    string
	command func(t *testing.T, file, addr string) []string
}

// exampleClients are the complete clients in docs/clients.md.
var exampleClients = map[string]exampleClient{
	"go":         {"client.go", goExample},
	"javascript": {"client.mjs", nodeExample},
	"python":     {"client.py", pythonExample},
}

// firstClients are the short clients with which docs/clients.md begins.
var firstClients = map[string]exampleClient{
	"go":         {"first/first.go", goExample},
	"javascript": {"first/first.mjs", nodeExample},
	"python":     {"first/first.py", pythonExample},
}

func goExample(t *testing.T, file, addr string) []string {
	program := filepath.Join(t.TempDir(), "client")
	if err := testbuild.Program(program, "./"+filepath.Dir(file)); err != nil {
		t.Fatal(err)
	}
	return []string{program, addr}
}

func pythonExample(t *testing.T, file, addr string) []string {
	if err := exec.Command("python3", "-c", "import sys; sys.exit(sys.version_info < (3, 8))").Run(); err != nil {
		t.Skipf("needs Python 3.8 or later: %v", err)
	}
	return []string{"python3", file, addr}
}

func nodeExample(t *testing.T, file, addr string) []string {
	return append(nodeJS(t), file, "ws://"+addr+"/ws")
}

// nodeJS returns the command that starts Node with a WebSocket, which some
// versions have only with a flag. It skips the test if there is none.
func nodeJS(t *testing.T) []string {
	t.Helper()
	const able = "process.exit(typeof WebSocket === 'function' && ''.toWellFormed ? 0 : 1)"
	for _, name := range []string{"node", "nodejs"} {
		for _, flags := range [][]string{{}, {"--experimental-websocket", "--no-warnings"}} {
			if exec.Command(name, append(flags, "-e", able)...).Run() == nil {
				return append([]string{name}, flags...)
			}
		}
	}
	version, err := exec.Command("node", "--version").Output()
	t.Skipf("needs Node 20.10 or later, which has a WebSocket; found %q, %v", version, err)
	return nil
}

// TestJavaScriptOfTheDocument checks that the example of the JavaScript SDK in
// docs/clients.md runs and prints what it should.
func TestJavaScriptOfTheDocument(t *testing.T) {
	run := nodeJS(t)
	text, err := os.ReadFile("docs/clients.md")
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(text), "**JavaScript**")
	_, code, _ = strings.Cut(code, "\n```js\n")
	code, _, found := strings.Cut(code, "```\n")
	if !found {
		t.Fatal("docs/clients.md has no js block after **JavaScript**")
	}
	dir := t.TempDir()
	d := startDaemon(t, dir, "127.0.0.1", "0", "--db", "sqlite:chat.db", "--http", "", "--argon2", "8,1,1")
	addr := d.until(t, `address=(\S+)`)
	newMember(t, addr, "ann")
	newMember(t, addr, "ben")
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []struct{ from, to string }{{`"./client/`, `"` + here + `/client/`}, {"127.0.0.1:6000", addr}} {
		if !strings.Contains(code, word.from) {
			t.Fatalf("the example in docs/clients.md doesn't contain %s", word.from)
		}
		code = strings.ReplaceAll(code, word.from, word.to)
	}
	file := filepath.Join(dir, "document.mjs")
	if err := os.WriteFile(file, []byte(code+"ann.close();\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(run[0], append(run[1:], file)...).CombinedOutput()
	if err != nil || string(out) != "stored as 1\n" {
		t.Errorf("the example printed %q, error %v; want \"stored as 1\\n\"", out, err)
	}
}

// missed logs in as an example's device, which ends the example, and returns the
// seqs of the messages that the server believes the device hasn't received.
func missed(t *testing.T, addr, name string) (seqs []int64) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(proto.AppendFrame(nil, proto.AppendRequest(nil, &proto.Request{Op: proto.LOGIN, Name: name, Password: "secret-1", Ack: true}))); err != nil {
		t.Fatal(err)
	}
	body, err := proto.ReadFrame(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := new(proto.Decoder).DecodeResponse(body)
	if err != nil || r.Op != proto.LOGIN_ACK || r.Errno != proto.Done || r.More {
		t.Fatalf("answer to LOGIN: %s, %v; want a LOGIN_ACK with errno 0 and the complete backlog", body, err)
	}
	for _, m := range r.Offline {
		seqs = append(seqs, m.Seq)
	}
	return seqs
}

// talker is a running example.
type talker struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr strings.Builder

	mu    sync.Mutex
	lines []string      // printed so far
	grew  chan struct{} // closed when a line is printed, or at the end of the output
	ended bool          // the output has ended
}

func (e exampleClient) start(t *testing.T, addr, name string, peer int) *talker {
	t.Helper()
	return e.startWith(t, nil, addr, name, peer)
}

// startWith starts the example with a file as its input. If input is nil, the input
// is what the test passes to say.
func (e exampleClient) startWith(t *testing.T, input *os.File, addr, name string, peer int) *talker {
	t.Helper()
	args := append(e.command(t, "docs/examples/"+e.file, addr), name, "secret-1", fmt.Sprint(peer))
	cmd := exec.Command(args[0], args[1:]...)
	k := &talker{t: t, cmd: cmd, grew: make(chan struct{})}
	cmd.Stderr = &k.stderr
	var err error
	if input != nil {
		cmd.Stdin = input
	} else if k.stdin, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			k.mu.Lock()
			k.lines = append(k.lines, lines.Text())
			close(k.grew)
			k.grew = make(chan struct{})
			k.mu.Unlock()
		}
		k.mu.Lock()
		k.ended = true
		close(k.grew)
		k.mu.Unlock()
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-read
		_ = cmd.Wait() // killed: an error by design
		if t.Failed() {
			t.Logf("%s printed\n%s\nand to stderr\n%s", name, strings.Join(k.lines, "\n"), k.stderr.String())
		}
	})
	return k
}

// until waits until enough returns true for the lines printed so far, and returns
// them.
func (k *talker) until(what string, enough func(lines []string) bool) []string {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 3*time.Minute)
	defer cancel()
	for {
		k.mu.Lock()
		lines, grew, ended := slices.Clone(k.lines), k.grew, k.ended
		k.mu.Unlock()
		if enough(lines) {
			return lines
		}
		if ended {
			k.t.Fatalf("the client ended while the test waited for %s", what)
		}
		select {
		case <-grew:
		case <-ctx.Done():
			k.t.Fatalf("timed out waiting for %s", what)
		}
	}
}

func (k *talker) loggedIn(id int) {
	k.t.Helper()
	want := fmt.Sprint("logged in as ", id)
	k.until(want, func(lines []string) bool { return slices.Contains(lines, want) })
}

var shownLine = regexp.MustCompile(`^(\d+) (\S+) (".*")$`)

// shown waits until n messages have been printed and returns their lines.
func (k *talker) shown(n int) (all []string) {
	k.t.Helper()
	k.until(fmt.Sprint(n, " messages"), func(lines []string) bool {
		all = slices.DeleteFunc(slices.Clone(lines), func(l string) bool { return !shownLine.MatchString(l) })
		return len(all) >= n
	})
	return all
}

func (k *talker) say(texts ...string) {
	k.t.Helper()
	if _, err := io.WriteString(k.stdin, strings.Join(texts, "\n")+"\n"); err != nil {
		k.t.Fatal(err)
	}
}

// exit waits until the client has ended, and returns its exit code and stderr.
func (k *talker) exit() (code int, stderr string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 3*time.Minute)
	defer cancel()
	for {
		k.mu.Lock()
		grew, ended := k.grew, k.ended
		k.mu.Unlock()
		if ended {
			_ = k.cmd.Wait() // the exit code shows errors
			return k.cmd.ProcessState.ExitCode(), k.stderr.String()
		}
		select {
		case <-grew:
		case <-ctx.Done():
			k.t.Fatal("timed out waiting for the client to end")
		}
	}
}

// TestExampleClients checks that the complete clients in docs/clients.md keep the
// guarantees of docs/protocol.md. Two of them chat while pushes are lost and
// repeated, connections are cut before an acknowledgement, and the server is killed
// and drained. Both must show the same messages, in order and each once.
func TestExampleClients(t *testing.T) {
	for _, pair := range [][2]string{{"go", "python"}, {"javascript", "go"}, {"python", "javascript"}} {
		t.Run(strings.Join(pair[:], " with "), func(t *testing.T) {
			t.Parallel() // it spends most of its time waiting to reconnect
			dir := t.TempDir()
			args := []string{"127.0.0.1", strconv.Itoa(realservice.Port(t)), "--db", "sqlite:" + filepath.Join(dir, "chat.db"), "--http", "", "--argon2", "8,1,1"}
			d := startDaemon(t, dir, args...)
			addr := d.until(t, `address=(\S+)`)
			restart := func(sig os.Signal) {
				t.Helper()
				if err := d.cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				d.exit(t)
				d = startDaemon(t, dir, args...)
				d.until(t, `address=(\S+)`)
			}

			var ks [2]*talker
			var proxies [2]*lossy
			names := [2]string{"ann", "ben"}
			for i := range ks {
				proxies[i] = newLossy(t, addr)
				ks[i] = exampleClients[pair[i]].start(t, proxies[i].addr, names[i], 2-i)
				ks[i].loggedIn(i + 1)
			}

			var said [2][]string
			say := func(n int) {
				for j, k := range ks {
					from := len(said[j])
					for range n {
						said[j] = append(said[j], fmt.Sprintf(`%s says %d: 你好, it's "me" \o/ 🙂`, names[j], len(said[j])))
					}
					k.say(said[j][from:]...)
				}
			}
			// Both clients are online, so these are pushed: one is dropped, one is repeated.
			say(2)
			for _, k := range ks {
				k.shown(4)
			}
			say(8)
			ks[0].shown(20)
			say(10)
			ks[1].shown(26)
			restart(os.Kill)
			ks[0].shown(36)
			restart(syscall.SIGTERM)

			// If the last push was dropped, only a later message reveals the gap. So send
			// another one, without losses.
			var logs [2][]string
			for j, k := range ks {
				last := fmt.Sprintf("%q", said[j][len(said[j])-1])
				k.until("its last message", func(lines []string) bool {
					return slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, last) })
				})
				proxies[j].mend()
			}
			say(1)
			for i, k := range ks {
				logs[i] = k.shown(len(said[0]) + len(said[1]))
			}
			got := int64(len(logs[0])) // both send receipts up to this seq before they send more messages
			say(80)
			for i, k := range ks {
				logs[i] = k.shown(len(said[0]) + len(said[1]))
			}
			if !slices.Equal(logs[0], logs[1]) {
				t.Errorf("the clients show different conversations:\n%s\n\n%s", strings.Join(logs[0], "\n"), strings.Join(logs[1], "\n"))
			}
			next := map[string]int{}
			for i, line := range logs[0] {
				m := shownLine.FindStringSubmatch(line)
				if m[1] != fmt.Sprint(i+1) {
					t.Fatalf("line %d is %s, want seq %d", i+1, line, i+1)
				}
				j := slices.Index(names[:], m[2])
				if n := next[m[2]]; j < 0 || n >= len(said[j]) || m[3] != fmt.Sprintf("%q", said[j][n]) {
					t.Fatalf("line %d is %s, want message %d of %s", i+1, line, n, m[2])
				}
				next[m[2]]++
			}
			for i, k := range ks {
				for _, seq := range missed(t, addr, names[i]) {
					if seq <= got {
						t.Errorf("the server doesn't know that %s has received seq %d", names[i], seq)
					}
				}
				k.until("its disconnection", func(lines []string) bool { return strings.HasPrefix(lines[len(lines)-1], "disconnected: ") })
			}
			// A new run must show the whole conversation, which is more than one page.
			if again := exampleClients[pair[0]].start(t, addr, names[0], 2).shown(len(logs[0])); !slices.Equal(again, logs[0]) {
				t.Errorf("a new run shows\n%s\nwant the same as before", strings.Join(again, "\n"))
			}
			for i, l := range proxies {
				if dropped, repeated, hungUp := l.did(); dropped == 0 || repeated == 0 || hungUp == 0 {
					t.Errorf("faults for %s: %d pushes dropped, %d repeated, %d connections cut; want each at least once", names[i], dropped, repeated, hungUp)
				}
			}
		})
	}
}

// TestFirstClients checks the short clients in docs/clients.md. Two of them chat
// while pushes are lost and repeated. Both must show the same messages, in order and
// each once. At the end of its input, a client must exit with 0 after everything is
// stored; when it is refused or replaced, with 1 and a reason.
func TestFirstClients(t *testing.T) {
	for _, pair := range [][2]string{{"go", "python"}, {"javascript", "go"}, {"python", "javascript"}} {
		t.Run(strings.Join(pair[:], " with "), func(t *testing.T) {
			dir := t.TempDir()
			d := startDaemon(t, dir, "127.0.0.1", "0", "--db", "sqlite:"+filepath.Join(dir, "chat.db"), "--http", "", "--argon2", "8,1,1")
			addr := d.until(t, `address=(\S+)`)
			names := [2]string{"ann", "ben"}
			var ks [2]*talker
			var proxies [2]*lossy
			for i := range ks { // when the first starts, its peer isn't registered yet
				proxies[i] = newLossy(t, addr)
				proxies[i].stay()
				ks[i] = firstClients[pair[i]].start(t, proxies[i].addr, names[i], 2-i)
				ks[i].loggedIn(i + 1)
			}
			var said [2][]string
			say := func(j, n int) {
				from := len(said[j])
				for range n {
					said[j] = append(said[j], fmt.Sprintf(`%s says %d: 你好, it's "me" \o/ 🙂`, names[j], len(said[j])))
				}
				ks[j].say(said[j][from:]...)
			}
			ks[0].say("") // an empty line must be skipped
			for j := range ks {
				say(j, 29)
			}
			for j, k := range ks { // from then on, a client can miss only later messages of the other
				last := fmt.Sprintf("%q", said[j][28])
				k.until("its last message", func(lines []string) bool {
					return slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, last) })
				})
			}
			for i, l := range proxies {
				if dropped, repeated, _ := l.did(); dropped == 0 || repeated == 0 {
					t.Errorf("faults for %s: %d pushes dropped, %d repeated; want each at least once", names[i], dropped, repeated)
				}
				l.mend()
			}
			for j, k := range ks { // a later message reveals a gap
				say(j, 1)
				k.shown(59 + j)
			}
			ks[0].shown(60)
			say(0, 10)
			if err := ks[0].stdin.Close(); err != nil {
				t.Fatal(err)
			}
			if code, stderr := ks[0].exit(); code != 0 || stderr != "" {
				t.Errorf("at the end of its input: exit code %d, stderr %q; want 0 and nothing", code, stderr)
			}
			log := ks[1].shown(70)
			if own := ks[0].shown(70); !slices.Equal(own, log) {
				t.Errorf("the clients show different conversations:\n%s\n\n%s", strings.Join(own, "\n"), strings.Join(log, "\n"))
			}
			next := map[string]int{}
			for i, line := range log {
				m := shownLine.FindStringSubmatch(line)
				j := slices.Index(names[:], m[2])
				if n := next[m[2]]; m[1] != fmt.Sprint(i+1) || j < 0 || n >= len(said[j]) || m[3] != fmt.Sprintf("%q", said[j][n]) {
					t.Fatalf("line %d is %s, want seq %d and message %d of %s", i+1, line, i+1, next[m[2]], m[2])
				}
				next[m[2]]++
			}
			// A new run must show the whole conversation.
			ks[0] = firstClients[pair[0]].start(t, addr, names[0], 2)
			if again := ks[0].shown(70); !slices.Equal(again, log) {
				t.Errorf("a new run shows\n%s\nwant the same as before", strings.Join(again, "\n"))
			}
			for j := range ks { // each sends this message after its receipts of the earlier ones
				say(j, 1)
				for _, k := range ks {
					k.shown(71 + j)
				}
			}
			for i, k := range ks {
				for _, seq := range missed(t, addr, names[i]) {
					if seq <= 70 {
						t.Errorf("the server doesn't know that %s has received seq %d", names[i], seq)
					}
				}
				if code, stderr := k.exit(); code != 1 || stderr == "" {
					t.Errorf("replaced by another login: exit code %d, stderr %q; want 1 and a reason", code, stderr)
				}
			}
			stranger := firstClients[pair[0]].start(t, addr, names[0]+" ", 2) // an invalid name
			if code, stderr := stranger.exit(); code != 1 || stderr == "" {
				t.Errorf("refused because of an invalid name: exit code %d, stderr %q; want 1 and a reason", code, stderr)
			}
		})
	}
}

// TestExampleClientsKeepNotes checks that a client that chats with its own user (to
// keep notes) doesn't show messages from other users.
func TestExampleClientsKeepNotes(t *testing.T) {
	for kind, clients := range map[string]map[string]exampleClient{"complete": exampleClients, "first": firstClients} {
		for language, example := range clients {
			t.Run(kind+" "+language, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				d := startDaemon(t, dir, "127.0.0.1", "0", "--db", "sqlite:"+filepath.Join(dir, "chat.db"), "--http", "", "--argon2", "8,1,1")
				addr := d.until(t, `address=(\S+)`)
				ann := example.start(t, addr, "ann", 1)
				ann.loggedIn(1)
				if _, err := newMember(t, addr, "ben").Send(t.Context(), client.User(1), "are you there?"); err != nil {
					t.Fatal(err)
				}
				ann.say("milk", "bread")
				want := []string{`1 ann "milk"`, `2 ann "bread"`}
				if got := ann.shown(2); !slices.Equal(got, want) {
					t.Errorf("ann shows %q, want %q", got, want)
				}
			})
		}
	}
}

// TestExampleClientsReadLongLines checks input lines that are too long for a frame.
// The complete example clients report such lines and skip them. The minimal clients
// exit and say why.
func TestExampleClientsReadLongLines(t *testing.T) {
	for kind, clients := range map[string]map[string]exampleClient{"complete": exampleClients, "first": firstClients} {
		for language, example := range clients {
			t.Run(kind+" "+language, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				d := startDaemon(t, dir, "127.0.0.1", "0", "--db", "sqlite:"+filepath.Join(dir, "chat.db"), "--http", "", "--argon2", "8,1,1")
				addr := d.until(t, `address=(\S+)`)
				newMember(t, addr, "ann")
				ben := example.start(t, addr, "ben", 1)
				ben.say("one", strings.Repeat("x", 100_000), "two")
				if kind == "first" {
					if code, stderr := ben.exit(); code != 1 || stderr == "" {
						t.Errorf("after a long line: exit code %d, stderr %q; want 1 and a reason", code, stderr)
					}
					return
				}
				if got, want := ben.shown(2), []string{`1 ben "one"`, `2 ben "two"`}; !slices.Equal(got, want) {
					t.Errorf("ben shows %q, want %q", got, want)
				}
			})
		}
	}
}

// TestExampleClientsReadFiles checks that the clients send all lines of a file that
// is their input.
func TestExampleClientsReadFiles(t *testing.T) {
	for kind, clients := range map[string]map[string]exampleClient{"complete": exampleClients, "first": firstClients} {
		for language, example := range clients {
			t.Run(kind+" "+language, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				d := startDaemon(t, dir, "127.0.0.1", "0", "--db", "sqlite:"+filepath.Join(dir, "chat.db"), "--http", "", "--argon2", "8,1,1")
				addr := d.until(t, `address=(\S+)`)
				newMember(t, addr, "ann")
				path := filepath.Join(dir, "input")
				if err := os.WriteFile(path, []byte("one\ntwo\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				input, err := os.Open(path)
				if err != nil {
					t.Fatal(err)
				}
				defer input.Close()
				want := []string{`1 ben "one"`, `2 ben "two"`}
				if got := example.startWith(t, input, addr, "ben", 1).shown(2); !slices.Equal(got, want) {
					t.Errorf("ben shows %q, want %q", got, want)
				}
			})
		}
	}
}
