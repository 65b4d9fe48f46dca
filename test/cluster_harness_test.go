package test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"chatd/client"
	"chatd/internal/realservice"
)

// cluster is three node processes with a MariaDB and a Redis, behind an nginx with
// the configuration deploy/nginx.conf.
type cluster struct {
	t     *testing.T
	db    *realservice.MariaDBServer
	redis *realservice.RedisServer
	nginx *realservice.NginxServer
	conf  string // configuration of nginx
	nodes []*clusterNode

	chat, chatTLS, web string         // addresses of nginx
	roots              *x509.CertPool // contains its certificate
}

// The timeout allows for a busy machine and the race detector. Tests assert with it
// only that something happens, not how fast.
const (
	clusterTimeout = 90 * time.Second
	clusterPoll    = 10 * time.Millisecond
)

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, db: realservice.NewMariaDB(t), redis: realservice.Redis(t)}
	for i := range 3 {
		c.nodes = append(c.nodes, c.addNode(t, fmt.Sprint("node", i+1), c.redis.URL))
	}
	for _, n := range c.nodes {
		n.start(t)
	}
	c.chat, c.chatTLS, c.web = loopback(realservice.Port(t)), loopback(realservice.Port(t)), loopback(realservice.Port(t))
	c.conf = c.nginxConf(t)
	c.nginx = realservice.Nginx(t, c.conf)
	return c
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// nginxConf returns deploy/nginx.conf with the addresses and files of this cluster.
func (c *cluster) nginxConf(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("deploy/nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	cert, key := c.certificate(t)
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }
	put := []string{"@LISTEN@", "127.0.0.1", "@CHAT_PORT@", port(c.chat), "@TLS_PORT@", port(c.chatTLS), "@WEB_PORT@", port(c.web),
		"@CERT@", cert, "@KEY@", key, "@FOLDER@", t.TempDir()}
	for i, n := range c.nodes[:3] {
		put = append(put, fmt.Sprintf("@CHAT%d@", i+1), n.chat, fmt.Sprintf("@HTTP%d@", i+1), n.http)
	}
	conf := strings.NewReplacer(put...).Replace(string(text))
	if left := regexp.MustCompile(`@[A-Z0-9_]+@`).FindString(conf); left != "" {
		t.Fatalf("deploy/nginx.conf has the placeholder %s, which the test doesn't fill in", left)
	}
	return conf
}

// certificate creates a self-signed certificate for 127.0.0.1 and adds it to
// c.roots.
func (c *cluster) certificate(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	certFile, keyFile = write("tls.crt", "CERTIFICATE", der), write("tls.key", "PRIVATE KEY", private)
	c.roots = x509.NewCertPool()
	if b, err := os.ReadFile(certFile); err != nil || !c.roots.AppendCertsFromPEM(b) {
		t.Fatalf("cannot read the certificate back: %v", err)
	}
	return certFile, keyFile
}

// clusterNode is one chatd of a cluster. It keeps its addresses when it is
// restarted.
type clusterNode struct {
	name, chat, http string

	args []string
	log  string    // path of its log file
	cmd  *exec.Cmd // nil while it isn't running
}

// addNode prepares a node without starting it. Each node has its own database user,
// so that tests can tell whose transaction is open.
func (c *cluster) addNode(t *testing.T, name, redis string) *clusterNode {
	t.Helper()
	c.db.SQL(t, fmt.Sprintf("CREATE USER %s@127.0.0.1; GRANT ALL ON chatd.* TO %s@127.0.0.1", name, name))
	n := &clusterNode{name: name, chat: loopback(realservice.Port(t)), http: loopback(realservice.Port(t)), log: filepath.Join(t.TempDir(), name+".log")}
	ip, port, _ := net.SplitHostPort(n.chat)
	n.args = []string{ip, port, "--http", n.http, "--db", strings.Replace(c.db.URL, "//root@", "//"+name+"@", 1), "--redis", redis,
		"--node", name, "--health", loopback(realservice.Port(t)), "--proxy-protocol", "127.0.0.1/32", "--argon2", "8,1,1", "--no-limits"}
	t.Cleanup(func() {
		if n.runs() {
			n.kill(t)
		}
		if b, err := os.ReadFile(n.log); t.Failed() && err == nil {
			t.Logf("end of the log of %s:\n%s", name, b[max(0, len(b)-4096):])
		}
	})
	return n
}

func (n *clusterNode) runs() bool { return n.cmd != nil }

// start starts the node and waits until it accepts clients.
func (n *clusterNode) start(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// Log to a file: a pipe would have to be read.
	log, err := os.OpenFile(n.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(self, n.args...)
	cmd.Env, cmd.Stderr = chatdEnv(), log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	n.cmd = cmd
	eventually(t, n.name+" accepts clients", func() error {
		resp, err := http.Get("http://" + n.http + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// kill sends SIGKILL and waits until the node has ended.
func (n *clusterNode) kill(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		t.Errorf("kill %s: %v", n.name, err)
	}
	_ = n.cmd.Wait() // it was killed: an error is expected
	n.cmd = nil
}

// drain sends SIGTERM and waits until the node has ended, which must exit with 0.
func (n *clusterNode) drain(t *testing.T) {
	t.Helper()
	n.signal(t, syscall.SIGTERM)
	if err := n.cmd.Wait(); err != nil {
		t.Errorf("%s after SIGTERM: %v; want exit code 0", n.name, err)
	}
	n.cmd = nil
}

func (n *clusterNode) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		t.Fatalf("send %v to %s: %v", s, n.name, err)
	}
}

// metrics returns the node's /metrics page.
func (n *clusterNode) metrics(t *testing.T) string {
	t.Helper()
	resp, err := http.Get("http://" + n.http + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// metric returns the value of a metric without labels, "" if there is none.
func (n *clusterNode) metric(t *testing.T, name string) string {
	t.Helper()
	for line := range strings.Lines(n.metrics(t)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// eventually calls f until it succeeds. what describes that in the failure message.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	for end := time.Now().Add(clusterTimeout); ; time.Sleep(clusterPoll) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("timed out after %s waiting until %s: %v", clusterTimeout, what, err)
		}
	}
}

// person is an SDK client that records what its handlers receive.
type person struct {
	*client.Client
	t    *testing.T
	id   int64
	name string

	mu       sync.Mutex
	grew     *sync.Cond
	seen     map[client.Conv][]client.Message
	presence map[int64]bool
	reads    map[client.Conv]int64
	events   []client.Event
	changes  []client.Change
}

const personPassword = "secret 1"

// newPerson registers a user at an address and logs in.
func newPerson(t *testing.T, addr, name string) *person {
	t.Helper()
	p := newDevice(t, addr, name, "phone", nil)
	if _, err := p.Register(t.Context(), name, personPassword); err != nil {
		t.Fatal(err)
	}
	p.login()
	return p
}

// newDevice returns a device of a user, which isn't logged in yet. secure is nil for
// connections without TLS.
func newDevice(t *testing.T, addr, name, device string, secure *tls.Config) *person {
	t.Helper()
	p := &person{t: t, name: name, seen: make(map[client.Conv][]client.Message), presence: make(map[int64]bool), reads: make(map[client.Conv]int64)}
	p.grew = sync.NewCond(&p.mu)
	c, err := client.New(client.Config{Addrs: []string{addr}, Device: device, TLS: secure,
		BackoffMin: 10 * time.Millisecond, BackoffMax: 200 * time.Millisecond, LoginTimeout: 10 * time.Second,
		Handlers: client.Handlers{
			Message:  func(m client.Message) { p.note(func() { p.seen[m.Conv] = append(p.seen[m.Conv], m) }) },
			Presence: func(c client.Presence) { p.note(func() { p.presence[c.User] = c.Online }) },
			Read:     func(r client.Read) { p.note(func() { p.reads[r.Conv] = r.Seq }) },
			Event:    func(e client.Event) { p.note(func() { p.events = append(p.events, e) }) },
			Change:   func(c client.Change) { p.note(func() { p.changes = append(p.changes, c) }) },
		}})
	if err != nil {
		t.Fatal(err)
	}
	p.Client = c
	t.Cleanup(func() { _ = c.Close() }) // Close fails only if it can't save the state, which isn't stored here
	return p
}

func (p *person) login() {
	p.t.Helper()
	if err := p.Login(p.t.Context(), p.name, personPassword); err != nil {
		p.t.Fatalf("log in %s: %v", p.name, err)
	}
	p.id, _ = p.Me()
}

// note calls f with p.mu locked, and wakes until.
func (p *person) note(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	p.grew.Broadcast()
}

// until waits until cond, which is called with p.mu locked, returns true. It fails the
// test and returns false if that takes too long.
func (p *person) until(what string, within time.Duration, cond func() bool) bool {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), within)
	defer cancel()
	// Lock p.mu: otherwise this wake-up could be lost between cond and Wait.
	stop := context.AfterFunc(ctx, func() { p.note(func() {}) })
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !cond() {
		if ctx.Err() != nil {
			p.t.Errorf("%s: timed out after %s waiting for: %s", p.name, within, what)
			return false
		}
		p.grew.Wait()
	}
	return true
}

// receives waits for a message with this text in a conversation.
func (p *person) receives(conv client.Conv, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("message %q in %s", text, conv), clusterTimeout, func() bool {
		for _, m := range p.seen[conv] {
			if m.Text == text {
				return true
			}
		}
		return false
	})
}

// say sends a text and waits until it is stored.
func (p *person) say(conv client.Conv, text string) client.Receipt {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), clusterTimeout)
	defer cancel()
	r, err := p.Send(ctx, conv, text)
	if err != nil {
		p.t.Fatalf("%s sends %q: %v", p.name, text, err)
	}
	return r
}
