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
	"chatd/proto"
)

// exampleClient is a client of docs/examples, and how it is started.
type exampleClient struct {
	file    string
	command func(t *testing.T, file, addr string) []string
}

// exampleClients are the clients that docs/clients.md explains.
var exampleClients = map[string]exampleClient{
	"go":         {"client.go", goExample},
	"javascript": {"client.mjs", nodeExample},
	"python":     {"client.py", pythonExample},
}

// firstClients are the short ones that it begins with.
var firstClients = map[string]exampleClient{
	"go":         {"first/first.go", goExample},
	"javascript": {"first/first.mjs", nodeExample},
	"python":     {"first/first.py", pythonExample},
}

func goExample(t *testing.T, file, addr string) []string {
	program := filepath.Join(t.TempDir(), "client")
	if out, err := exec.Command("go", "build", "-o", program, "./"+filepath.Dir(file)).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return []string{program, addr}
}

func pythonExample(t *testing.T, file, addr string) []string {
	if err := exec.Command("python3", "-c", "import sys; sys.exit(sys.version_info < (3, 8))").Run(); err != nil {
		t.Skipf("there is no Python 3.8 or later here: %v", err)
	}
	return []string{"python3", file, addr}
}

func nodeExample(t *testing.T, file, addr string) []string {
	return append(nodeJS(t), file, "ws://"+addr+"/ws")
}

// nodeJS is how Node is started so that it has a WebSocket, for which some have
// to be asked.
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
	t.Skipf("there is no Node here that has a WebSocket (20.10 or later): %s %v", version, err)
	return nil
}

// What docs/clients.md shows of the JavaScript SDK does what it says.
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
		t.Fatal("docs/clients.md shows nothing of the JavaScript SDK")
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
			t.Fatalf("it has no %s", word.from)
		}
		code = strings.ReplaceAll(code, word.from, word.to)
	}
	file := filepath.Join(dir, "document.mjs")
	if err := os.WriteFile(file, []byte(code+"ann.close();\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(run[0], append(run[1:], file)...).CombinedOutput()
	if err != nil || string(out) != "stored as 1\n" {
		t.Errorf("%v\n%s", err, out)
	}
}

// missed logs in on the device of an example, which ends it, and returns the
// numbers of what the server holds that the device hasn't got.
func missed(t *testing.T, addr, name string) (seqs []int64) {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(proto.AppendFrame(nil, proto.AppendRequest(nil, &proto.Request{Op: proto.LOGIN, Name: name, Password: "secret1", Ack: true}))); err != nil {
		t.Fatal(err)
	}
	body, err := proto.ReadFrame(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := new(proto.Decoder).DecodeResponse(body)
	if err != nil || r.Op != proto.LOGIN_ACK || r.Errno != proto.Done || r.More {
		t.Fatalf("%s: %v", body, err)
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
	lines []string      // what it has printed
	grew  chan struct{} // closed at the next line, or when there is none any more
	ended bool
}

func (e exampleClient) start(t *testing.T, addr, name string, peer int) *talker {
	t.Helper()
	return e.startWith(t, nil, addr, name, peer)
}

// startWith starts it with a file as its input; nil: what it is told to say.
func (e exampleClient) startWith(t *testing.T, input *os.File, addr, name string, peer int) *talker {
	t.Helper()
	args := append(e.command(t, "docs/examples/"+e.file, addr), name, "secret1", fmt.Sprint(peer))
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
			t.Logf("%s printed\n%s\n%s", name, strings.Join(k.lines, "\n"), k.stderr.String())
		}
	})
	return k
}

// until waits until enough says that what was printed is.
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
			k.t.Fatalf("it has ended without %s", what)
		}
		select {
		case <-grew:
		case <-ctx.Done():
			k.t.Fatalf("%s did not come", what)
		}
	}
}

func (k *talker) loggedIn(id int) {
	k.t.Helper()
	want := fmt.Sprint("logged in as ", id)
	k.until(want, func(lines []string) bool { return slices.Contains(lines, want) })
}

var shownLine = regexp.MustCompile(`^(\d+) (\S+) (".*")$`)

// shown waits until n messages have been shown and returns their lines.
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

// exit waits until it has ended, and returns its exit code and complaint.
func (k *talker) exit() (code int, complaint string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(k.t.Context(), 3*time.Minute)
	defer cancel()
	for {
		k.mu.Lock()
		grew, ended := k.grew, k.ended
		k.mu.Unlock()
		if ended {
			_ = k.cmd.Wait() // the code says it
			return k.cmd.ProcessState.ExitCode(), k.stderr.String()
		}
		select {
		case <-grew:
		case <-ctx.Done():
			k.t.Fatal("it does not end")
		}
	}
}

// The clients that docs/clients.md gives to whoever writes one keep what
// docs/protocol.md promises: two of them talk while pushes get lost and come
// twice, connections end without an acknowledgement, and the server is
// killed, and drained. Both show the same, in order, each message once.
func TestExampleClients(t *testing.T) {
	for _, pair := range [][2]string{{"go", "python"}, {"javascript", "go"}, {"python", "javascript"}} {
		t.Run(strings.Join(pair[:], " with "), func(t *testing.T) {
			t.Parallel() // most of its time it waits before it connects again
			dir := t.TempDir()
			args := []string{"127.0.0.1", strconv.Itoa(realservice.Port(t)), "--db", "sqlite:" + filepath.Join(dir, "chat.db"), "--http", "", "--argon2", "8,1,1"}
			d := startDaemon(t, dir, args...)
			addr := d.until(t, `address=(\S+)`)
			again := func(sig os.Signal) {
				t.Helper()
				if err := d.cmd.Process.Signal(sig); err != nil {
					t.Fatal(err)
				}
				d.exit(t)
				d = startDaemon(t, dir, args...)
				d.until(t, `address=(\S+)`)
			}

			var ks [2]*talker
			var ways [2]*lossy
			names := [2]string{"ann", "ben"}
			for i := range ks {
				ways[i] = newLossy(t, addr)
				ks[i] = exampleClients[pair[i]].start(t, ways[i].addr, names[i], 2-i)
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
			// Both are there, so that these are pushed: one is dropped, one comes twice.
			say(2)
			for _, k := range ks {
				k.shown(4)
			}
			say(8)
			ks[0].shown(20)
			say(10)
			ks[1].shown(26)
			again(os.Kill)
			ks[0].shown(36)
			again(syscall.SIGTERM)

			// A last word, or nobody would know of a push before it that was dropped:
			// a gap is seen by what follows it.
			var logs [2][]string
			for j, k := range ks {
				last := fmt.Sprintf("%q", said[j][len(said[j])-1])
				k.until("its last message", func(lines []string) bool {
					return slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, last) })
				})
				ways[j].mend()
			}
			say(1)
			for i, k := range ks {
				logs[i] = k.shown(len(said[0]) + len(said[1]))
			}
			got := int64(len(logs[0])) // what they say from here on they say behind receipts up to this
			say(80)
			for i, k := range ks {
				logs[i] = k.shown(len(said[0]) + len(said[1]))
			}
			if !slices.Equal(logs[0], logs[1]) {
				t.Errorf("they saw different conversations:\n%s\n\n%s", strings.Join(logs[0], "\n"), strings.Join(logs[1], "\n"))
			}
			next := map[string]int{}
			for i, line := range logs[0] {
				m := shownLine.FindStringSubmatch(line)
				if m[1] != fmt.Sprint(i+1) {
					t.Fatalf("message %d is shown as %s", i+1, line)
				}
				j := slices.Index(names[:], m[2])
				if n := next[m[2]]; j < 0 || n >= len(said[j]) || m[3] != fmt.Sprintf("%q", said[j][n]) {
					t.Fatalf("%s isn't what %s said next, after %d messages", line, m[2], n)
				}
				next[m[2]]++
			}
			for i, k := range ks {
				for _, seq := range missed(t, addr, names[i]) {
					if seq <= got {
						t.Errorf("the server doesn't know that %s has %d", names[i], seq)
					}
				}
				k.until("the end", func(lines []string) bool { return strings.HasPrefix(lines[len(lines)-1], "disconnected: ") })
			}
			// A new run begins with all that was said, which is more than one page.
			if again := exampleClients[pair[0]].start(t, addr, names[0], 2).shown(len(logs[0])); !slices.Equal(again, logs[0]) {
				t.Errorf("another run shows\n%s", strings.Join(again, "\n"))
			}
			for i, l := range ways {
				if dropped, repeated, hungUp := l.did(); dropped == 0 || repeated == 0 || hungUp == 0 {
					t.Errorf("%s had nothing to put up with: %d pushes dropped, %d repeated, %d connections cut", names[i], dropped, repeated, hungUp)
				}
			}
		})
	}
}

// The short clients that docs/clients.md begins with talk with each other
// while pushes get lost and come twice: both show the same, in order, each
// message once, of more than one page. They
// end with 0 when their input has, after all of it is stored, and with 1 and a
// reason when they are refused or thrown out.
func TestFirstClients(t *testing.T) {
	for _, pair := range [][2]string{{"go", "python"}, {"javascript", "go"}, {"python", "javascript"}} {
		t.Run(strings.Join(pair[:], " with "), func(t *testing.T) {
			dir := t.TempDir()
			d := startDaemon(t, dir, "127.0.0.1", "0", "--db", "sqlite:"+filepath.Join(dir, "chat.db"), "--http", "", "--argon2", "8,1,1")
			addr := d.until(t, `address=(\S+)`)
			names := [2]string{"ann", "ben"}
			var ks [2]*talker
			var ways [2]*lossy
			for i := range ks { // the first waits for one whom nobody knows yet
				ways[i] = newLossy(t, addr)
				ways[i].stay()
				ks[i] = firstClients[pair[i]].start(t, ways[i].addr, names[i], 2-i)
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
			ks[0].say("") // an empty line is none
			for j := range ks {
				say(j, 29)
			}
			for j, k := range ks { // whose last word is shown misses only what the other said behind it
				last := fmt.Sprintf("%q", said[j][28])
				k.until("its last message", func(lines []string) bool {
					return slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, last) })
				})
			}
			for i, l := range ways {
				if dropped, repeated, _ := l.did(); dropped == 0 || repeated == 0 {
					t.Errorf("%s had nothing to put up with: %d pushes dropped, %d repeated", names[i], dropped, repeated)
				}
				l.mend()
			}
			for j, k := range ks { // a gap is seen by what follows it
				say(j, 1)
				k.shown(59 + j)
			}
			ks[0].shown(60)
			say(0, 10)
			if err := ks[0].stdin.Close(); err != nil {
				t.Fatal(err)
			}
			if code, complaint := ks[0].exit(); code != 0 || complaint != "" {
				t.Errorf("at the end of its input it ends with %d: %s", code, complaint)
			}
			log := ks[1].shown(70)
			if own := ks[0].shown(70); !slices.Equal(own, log) {
				t.Errorf("they saw different conversations:\n%s\n\n%s", strings.Join(own, "\n"), strings.Join(log, "\n"))
			}
			next := map[string]int{}
			for i, line := range log {
				m := shownLine.FindStringSubmatch(line)
				j := slices.Index(names[:], m[2])
				if n := next[m[2]]; m[1] != fmt.Sprint(i+1) || j < 0 || n >= len(said[j]) || m[3] != fmt.Sprintf("%q", said[j][n]) {
					t.Fatalf("message %d is shown as %s", i+1, line)
				}
				next[m[2]]++
			}
			// A new run begins with what was said.
			ks[0] = firstClients[pair[0]].start(t, addr, names[0], 2)
			if again := ks[0].shown(70); !slices.Equal(again, log) {
				t.Errorf("another run shows\n%s", strings.Join(again, "\n"))
			}
			for j := range ks { // each says this behind its receipts of all the rest
				say(j, 1)
				for _, k := range ks {
					k.shown(71 + j)
				}
			}
			for i, k := range ks {
				for _, seq := range missed(t, addr, names[i]) {
					if seq <= 70 {
						t.Errorf("the server doesn't know that %s has %d", names[i], seq)
					}
				}
				if code, complaint := k.exit(); code != 1 || complaint == "" {
					t.Errorf("replaced by another login it ends with %d: %q", code, complaint)
				}
			}
			stranger := firstClients[pair[0]].start(t, addr, names[0]+" ", 2) // a name that may not be
			if code, complaint := stranger.exit(); code != 1 || complaint == "" {
				t.Errorf("refused it ends with %d: %q", code, complaint)
			}
		})
	}
}

// Who talks to oneself, as some do to keep notes, sees the notes alone, and not
// what others say to one.
func TestExampleClientsKeepNotes(t *testing.T) {
	for kind, clients := range map[string]map[string]exampleClient{"whole": exampleClients, "first": firstClients} {
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
					t.Errorf("shown is %q", got)
				}
			})
		}
	}
}

// A line that is longer than a frame ends no input without a word: the whole
// clients say so and go on, the short ones end with a reason.
func TestExampleClientsReadLongLines(t *testing.T) {
	for kind, clients := range map[string]map[string]exampleClient{"whole": exampleClients, "first": firstClients} {
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
					if code, complaint := ben.exit(); code != 1 || complaint == "" {
						t.Errorf("it ends with %d: %q", code, complaint)
					}
					return
				}
				if got, want := ben.shown(2), []string{`1 ben "one"`, `2 ben "two"`}; !slices.Equal(got, want) {
					t.Errorf("shown is %q", got)
				}
			})
		}
	}
}

// Their input may be a file as well: all of it is said.
func TestExampleClientsReadFiles(t *testing.T) {
	for kind, clients := range map[string]map[string]exampleClient{"whole": exampleClients, "first": firstClients} {
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
					t.Errorf("shown is %q", got)
				}
			})
		}
	}
}
