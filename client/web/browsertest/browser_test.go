// Package browsertest tests the web client in a real browser, Chromium, with a
// real chatd. The scenarios are in the folder scenarios; person.mjs has what
// people do on the page, and run.mjs runs them. With CHATD_BROWSER=firefox (make
// firefox) it uses Firefox. webkit_test.go is a shorter test in WebKit: make
// webkit.
//
// It needs chromium, node and npm, which make test installs if it runs as root. It also
// needs playwright-core and axe-core from npm, pinned by package-lock.json and
// installed into the user's cache directory. If one of them is missing, the
// tests are skipped with a message.
package browsertest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatd/client"
	"chatd/internal/services"
	"chatd/internal/testbuild"
)

const (
	longest     = 2 * time.Minute  // timeout of a wait
	longestPlay = 10 * time.Minute // timeout of a scenario; the machine may be busy
	password    = "secret-secret"
)

// binaries is the directory with the built programs.
var binaries string

func TestMain(m *testing.M) {
	var err error
	if binaries, err = os.MkdirTemp("", "chatd-browser-"); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(binaries)
	os.Exit(code)
}

var build = sync.OnceValues(func() (string, error) { return buildOne("chatd", "chatd") })

// buildOne builds a program and returns its path.
func buildOne(name, pkg string) (string, error) {
	path := filepath.Join(binaries, name)
	return path, testbuild.Program(path, pkg)
}

// scenarios maps each scenario to a function that prepares the server, or nil.
// Its result is passed to the scenario.
var scenarios = map[string]func(ctx context.Context, addr string) (any, error){
	"talk":       nil,
	"group":      nil,
	"reload":     nil,
	"notify":     nil,
	"offline":    nil,
	"killed":     nil,
	"hostile":    mallory,
	invited:      nil,
	"phone":      nil,
	"accessible": nil,
	"keyboard":   nil,
	"chinese":    nil,
	"early":      nil,
	"figures":    nil,
	"port":       nil,
	"scroll":     history,
	"tabs":       nil,

	pictures: nil,
}

// unsupportedByFirefox maps the scenarios that are skipped in Firefox to what
// playwright-core can't make it do.
var unsupportedByFirefox = map[string]string{
	"figures": "report what it has loaded",
	"notify":  "grant and deny notifications",
	"offline": "go offline",
	"phone":   "simulate touch",
}

// invited is the scenario whose server wants invitation codes.
const invited = "invited"

// pictures is the scenario of TestScreenshots. It isn't a test.
const pictures = "screenshots"

// Runs each scenario in the browser, with its own server.
func TestBrowser(t *testing.T) {
	b := startBrowser(t)
	if have := b.scenarios; len(have) != len(scenarios) {
		t.Fatalf("run.mjs has %d scenarios, the table has %d; run.mjs has %q", len(have), len(scenarios), have)
	}
	for _, name := range b.scenarios {
		if name != pictures {
			t.Run(name, func(t *testing.T) { b.runScenario(t, name) })
		}
	}
}

// runScenario runs one scenario with a server of its own.
func (b *browser) runScenario(t *testing.T, name string) {
	if b.broken {
		t.Skip("the browser ended in an earlier scenario")
	}
	prepare, known := scenarios[name]
	if !known {
		t.Fatalf("scenario %s is not in the table scenarios", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), longestPlay)
	defer cancel()
	port := 0
	if name == "port" {
		if port = blockedPort(); port == 0 {
			t.Skip("all ports that browsers refuse are in use")
		}
	}
	if what := unsupportedByFirefox[name]; what != "" && b.name == "firefox" {
		t.Skipf("not supported in Firefox: %s", what)
	}
	var flags []string
	if name == invited {
		flags = []string{"--registration", "invite"}
	}
	node, db := startNode(t, port, flags...)
	var data any
	if name == invited {
		code, err := invite(ctx, db)
		if err != nil {
			t.Fatalf("prepare: %v", err)
		}
		data = code
	}
	if prepare != nil {
		var err error
		if data, err = prepare(ctx, node.Addr()); err != nil {
			t.Fatalf("prepare: %v", err)
		}
	}
	b.play(ctx, t, name, node.HTTP(), data, node)
}

// play runs a scenario and executes its requests to kill and start the server.
func (b *browser) play(ctx context.Context, t *testing.T, name, url string, data any, node *services.Node) {
	t.Helper()
	// After the timeout, kill the driver, which ends all waits.
	defer context.AfterFunc(ctx, func() {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			b.kill()
		}
	})()
	b.send(t, map[string]any{"run": name, "url": url + "/", "data": data})
	for {
		m := b.receive(t)
		switch {
		case m.Done && m.Error != "":
			t.Fatal(m.Error)
		case m.Done:
			return
		case m.Fact != "":
			t.Logf("%s: %v %s", m.Fact, m.Value, m.Unit)
		case m.Ask != "":
			var err error
			switch {
			case node == nil:
				err = errors.New("this scenario has no server to kill or start")
			case m.Ask == "kill":
				err = node.Kill()
			case m.Ask == "start":
				err = node.Start(ctx)
			default:
				err = fmt.Errorf("unknown request %q, want kill or start", m.Ask)
			}
			answer := map[string]string{}
			if err != nil {
				answer["error"] = err.Error()
			}
			b.send(t, answer)
		}
	}
}

// blockedPort returns a free port that browsers refuse to connect to, 0 if there
// is none.
func blockedPort() int {
	for _, port := range []int{6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080} {
		if !services.Taken(port) {
			return port
		}
	}
	return 0
}

// startNode starts a chatd that ends with the test. If port is 0, it chooses
// one. args are further flags. db is the value of its flag --db.
func startNode(t *testing.T, port int, args ...string) (node *services.Node, db string) {
	t.Helper()
	chatd, err := build()
	if err != nil {
		t.Fatal(err)
	}
	folder, err := services.NewFolder("", "chatd-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := folder.Remove(); err != nil {
			t.Error(err)
		}
	})
	db = "sqlite:" + filepath.Join(folder.Path, "chat.db")
	node, err = services.NewNodeAt(folder, "chatd", chatd, port, 0, append([]string{"--db", db, "--argon2", "8,1,1"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := node.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := node.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	return node, db
}

// invite runs chatd invite, and returns a code for one registration.
func invite(ctx context.Context, db string) (code string, err error) {
	chatd, err := build()
	if err != nil {
		return "", err
	}
	out, err := exec.CommandContext(ctx, chatd, "invite", "--db", db, "--json").Output()
	if err != nil {
		return "", fmt.Errorf("chatd invite: %w", err)
	}
	var made struct{ Code string }
	err = json.Unmarshal(out, &made)
	return made.Code, err
}

// browser is a browser and its driver, run.mjs.
type browser struct {
	name      string // chromium, firefox
	cmd       *exec.Cmd
	in        io.WriteCloser
	out       *bufio.Reader
	stderr    bytes.Buffer
	scenarios []string
	broken    bool // the connection to run.mjs failed
}

// message is a line that run.mjs writes.
type message struct {
	Ready     bool
	Browser   string
	Scenarios []string
	Done      bool
	Error     string
	Ask       string
	Fact      string
	Value     any
	Unit      string
}

func startBrowser(t *testing.T) *browser {
	t.Helper()
	name, program := "chromium", "chromium"
	switch other := os.Getenv("CHATD_BROWSER"); other {
	case "", name:
	case "firefox":
		name, program = other, "firefox-esr"
	default:
		t.Fatalf("CHATD_BROWSER is %q, want chromium or firefox", other)
	}
	var paths [3]string
	for i, program := range []string{"node", "npm", program} {
		var err error
		if paths[i], err = services.Find(program); err != nil {
			t.Skipf("no browser tests: %v", err)
		}
	}
	if exec.Command(paths[0], "-e", "process.exit(parseInt(process.versions.node) >= 18 ? 0 : 1)").Run() != nil {
		t.Skip("no browser tests: they need Node 18 or later")
	}
	packages, err := installPackages(paths[1])
	if err != nil {
		t.Skipf("no browser tests: can't install the npm packages: %v", err)
	}
	b := &browser{name: name, cmd: exec.Command(paths[0], "run.mjs", name, paths[2])}
	b.cmd.Env = append(os.Environ(), "CHATD_PACKAGES="+packages, "TMPDIR="+binaries)
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	b.cmd.Stderr = &b.stderr
	if b.in, err = b.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := b.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	b.out = bufio.NewReader(out)
	if err := b.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = b.in.Close()
		timer := time.AfterFunc(longest, b.kill)
		defer timer.Stop()
		if err := b.cmd.Wait(); err != nil && !b.broken {
			t.Errorf("run.mjs exited with %v; stderr:\n%s", err, b.stderr.String())
		}
	})
	timer := time.AfterFunc(3*longest, b.kill)
	defer timer.Stop()
	m := b.receive(t)
	if !m.Ready {
		t.Fatalf("first line of run.mjs: got %+v, want Ready", m)
	}
	b.scenarios = m.Scenarios
	t.Logf("%s %s", name, m.Browser)
	return b
}

// kill kills the driver; the browser notices and ends as well.
func (b *browser) kill() { _ = b.cmd.Process.Kill() }

func (b *browser) send(t *testing.T, what any) {
	t.Helper()
	line, err := json.Marshal(what)
	if err == nil {
		_, err = b.in.Write(append(line, '\n'))
	}
	if err != nil {
		b.broken = true
		t.Fatalf("write to run.mjs: %v; its stderr:\n%s", err, b.stderr.String())
	}
}

func (b *browser) receive(t *testing.T) (m message) {
	t.Helper()
	line, err := b.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &m)
	}
	if err != nil {
		b.broken = true
		t.Fatalf("read from run.mjs: %v, line %q; its stderr:\n%s", err, line, b.stderr.String())
	}
	return m
}

// installPackages installs the packages of package-lock.json into the user's
// cache with npm, once per version of the file, and returns the directory.
func installPackages(npm string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	files := make(map[string][]byte)
	sum := sha256.New()
	for _, name := range []string{"package.json", "package-lock.json"} {
		if files[name], err = os.ReadFile(name); err != nil {
			return "", err
		}
		sum.Write(files[name])
	}
	dir := filepath.Join(cache, "chatd", fmt.Sprintf("browsertest-%x", sum.Sum(nil)[:8]))
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return "", err
	}
	// Install into a temporary directory and rename it, so that the final directory
	// is always complete, even if several processes install at once.
	making, err := os.MkdirTemp(filepath.Dir(dir), "making-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(making) }()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(making, name), content, 0o600); err != nil {
			return "", err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), longestPlay)
	defer cancel()
	cmd := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--fetch-retries=1", "--fetch-timeout=60000")
	cmd.Dir = making
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	if err := os.Rename(making, dir); err != nil {
		if _, there := os.Stat(dir); there != nil {
			return "", err
		}
	}
	return dir, nil
}

// Writes the documentation's screenshots, of the demo, to the directory in
// CHATD_SCREENSHOTS.
func TestScreenshots(t *testing.T) {
	dir := os.Getenv("CHATD_SCREENSHOTS")
	if dir == "" {
		t.Skip("CHATD_SCREENSHOTS isn't set; run make screenshots")
	}
	b := startBrowser(t)
	if _, err := build(); err != nil { // the demo starts the chatd in its own directory
		t.Fatal(err)
	}
	path, err := buildOne("chatdemo", "chatd/client/demo")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), longestPlay)
	defer cancel()
	demo := exec.CommandContext(ctx, path, "--speed", "3", "--quiet", "--dir", binaries)
	demo.Cancel = func() error { return demo.Process.Signal(os.Interrupt) }
	demo.Stderr = os.Stderr
	out, err := demo.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := demo.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		cancel()
		_ = demo.Wait() // it was interrupted
	}()
	entrance := regexp.MustCompile(`In a browser +(http://\S+)/ +name: (\S+) +password: (\S+)`)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if m := entrance.FindStringSubmatch(lines.Text()); m != nil {
			b.play(ctx, t, pictures, m[1], map[string]string{"name": m[2], "password": m[3], "dir": dir}, nil)
			return
		}
	}
	t.Fatalf("the demo ended without a line that matches %q", entrance)
}

// user registers a user and logs them in.
func user(ctx context.Context, addr, name string, h client.Handlers) (*client.Client, error) {
	c, err := client.New(client.Config{Addrs: []string{addr}, Handlers: h})
	if err != nil {
		return nil, err
	}
	if _, err = c.Register(ctx, name, password); err == nil {
		err = c.Login(ctx, name, password)
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// mallory registers a user who answers the first message with texts that are
// hostile to web pages.
func mallory(ctx context.Context, addr string) (any, error) {
	bodies := []string{
		"<img src=x onerror=\"alert(1)\">",
		"<script>alert(2)</script><svg onload=alert(3)>",
		"javascript:alert(4) data:text/html,<script>alert(5)</script> vbscript:x JaVaScRiPt&#58;alert(6)",
		"\u202e\u202dturned around\u2066\u2067\u202e end",
		"x\u200b\u200c\u200d\ufeff",
		"z" + strings.Repeat("\u0300", 1000),
		"{{constructor.constructor('alert(7)')()}} ${alert(8)} %s %d %o",
		"\x01\x07\x1b[31m\x7f\u0085",
		strings.Repeat("w", 32<<10),
		strings.Repeat("<b>", 10<<10),
		"https://example.com/?q=\"><img src=x onerror=alert(9)> http://javascript:alert(10)@x/",
		"line\n\n\n\tone",
		"\u0600\u0601\U000e0001\ufff9\ufffa\ufffb",
	}
	var c *client.Client
	var err error
	ready := make(chan struct{})
	c, err = user(ctx, addr, "mallory", client.Handlers{Message: func(m client.Message) {
		if m.Seq != 1 {
			return
		}
		<-ready
		for _, body := range bodies {
			if err := c.SendAsync(m.Conv, body, nil); err != nil {
				panic(err)
			}
		}
	}})
	if err != nil {
		return nil, err
	}
	close(ready)
	context.AfterFunc(ctx, func() { _ = c.Close() })
	return map[string]any{"sender": "mallory", "bodies": bodies}, nil
}

// history creates a conversation of 2,000 messages.
func history(ctx context.Context, addr string) (any, error) {
	const count = 2000
	alice, err := user(ctx, addr, "alice", client.Handlers{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = alice.Close() }()
	bob, err := user(ctx, addr, "bob", client.Handlers{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = bob.Close() }()
	id, _ := alice.Me()
	if _, err := bob.AddFriend(ctx, id); err != nil {
		return nil, err
	}
	for i := range count {
		if err := bob.SendAsync(client.User(id), fmt.Sprint("message ", i+1), nil); err != nil {
			return nil, err
		}
	}
	if err := bob.Flush(ctx); err != nil {
		return nil, err
	}
	return map[string]any{"name": "alice", "password": password, "sender": "bob", "count": count}, nil
}

// The table has exactly the scenarios of the directory.
func TestScenariosAreKnown(t *testing.T) {
	files, err := filepath.Glob("scenarios/*.mjs")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(f), ".mjs"))
	}
	for name := range scenarios {
		if !slices.Contains(names, name) {
			t.Errorf("scenario %s is in the table scenarios, but scenarios/%s.mjs does not exist", name, name)
		}
	}
	for _, name := range names {
		if _, known := scenarios[name]; !known {
			t.Errorf("scenarios/%s.mjs is not in the table scenarios", name)
		}
	}
}
