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

// cluster is three nodes, each a process, over a MariaDB and a Redis, behind
// an nginx that is configured as deploy/nginx.conf says.
type cluster struct {
	t     *testing.T
	db    *realservice.MariaDBServer
	redis *realservice.RedisServer
	nginx *realservice.NginxServer
	conf  string // nginx's
	nodes []*clusterNode

	chat, chatTLS, web string // addresses of nginx
	roots              *x509.CertPool
}

// Bounds of waiting: for a machine with much else to do, and the race
// detector on. Nothing is asserted by them but that it happens at all.
const (
	clusterPatience = 90 * time.Second
	clusterPoll     = 10 * time.Millisecond
)

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t, db: realservice.NewMariaDB(t), redis: realservice.Redis(t)}
	for i := range 3 {
		c.nodes = append(c.nodes, c.addNode(t, fmt.Sprint("node", i+1), c.redis.URL))
	}
	for _, n := range c.nodes { // one after another: each finds the schema, or makes it
		n.start(t)
	}
	c.chat, c.chatTLS, c.web = loopback(realservice.Port(t)), loopback(realservice.Port(t)), loopback(realservice.Port(t))
	c.conf = c.nginxConf(t)
	c.nginx = realservice.Nginx(t, c.conf)
	return c
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// nginxConf is deploy/nginx.conf with this cluster put in.
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
		t.Fatalf("deploy/nginx.conf: nothing is put in for %s", left)
	}
	return conf
}

// certificate makes one for 127.0.0.1, which is its own authority, and trusts it.
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
		t.Fatalf("the certificate can't be read back: %v", err)
	}
	return certFile, keyFile
}

// clusterNode is one chatd of a cluster. It keeps its addresses when it is
// started again.
type clusterNode struct {
	name, chat, http string

	args []string
	log  string // the file it logs to
	cmd  *exec.Cmd
}

// addNode lays out a node, which isn't started. Each has a database user of
// its own, so that the database can tell whose transaction is whose.
func (c *cluster) addNode(t *testing.T, name, redis string) *clusterNode {
	t.Helper()
	c.db.SQL(t, fmt.Sprintf("CREATE USER %s@127.0.0.1; GRANT ALL ON chatd.* TO %s@127.0.0.1", name, name))
	n := &clusterNode{name: name, chat: loopback(realservice.Port(t)), http: loopback(realservice.Port(t)), log: filepath.Join(t.TempDir(), name+".log")}
	ip, port, _ := net.SplitHostPort(n.chat)
	n.args = []string{ip, port, "--http", n.http, "--db", strings.Replace(c.db.URL, "//root@", "//"+name+"@", 1), "--redis", redis,
		"--node", name, "--proxy-protocol", "127.0.0.1/32", "--argon2", "8,1,1", "--no-limits"}
	t.Cleanup(func() {
		if n.runs() {
			n.kill(t)
		}
		if b, err := os.ReadFile(n.log); t.Failed() && err == nil {
			t.Logf("the log of %s ends with:\n%s", name, b[max(0, len(b)-4096):])
		}
	})
	return n
}

func (n *clusterNode) runs() bool { return n.cmd != nil }

// start starts the node and waits until it takes clients.
func (n *clusterNode) start(t *testing.T) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	// A file, not a pipe: nobody has to read along.
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
	eventually(t, n.name+" is ready", func() error {
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

// kill is kill -9.
func (n *clusterNode) kill(t *testing.T) {
	t.Helper()
	if err := n.cmd.Process.Kill(); err != nil {
		t.Errorf("%s: %v", n.name, err)
	}
	_ = n.cmd.Wait() // killed: an error by design
	n.cmd = nil
}

// drain is SIGTERM; the node has to exit with 0.
func (n *clusterNode) drain(t *testing.T) {
	t.Helper()
	n.signal(t, syscall.SIGTERM)
	if err := n.cmd.Wait(); err != nil {
		t.Errorf("%s, asked to drain: %v", n.name, err)
	}
	n.cmd = nil
}

func (n *clusterNode) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		t.Fatalf("%s: %v", n.name, err)
	}
}

// metrics is what the node's /metrics shows.
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

// metric is the value of one without labels, "" where there is none.
func (n *clusterNode) metric(t *testing.T, name string) string {
	t.Helper()
	for line := range strings.Lines(n.metrics(t)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// eventually calls f until it succeeds.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	for end := time.Now().Add(clusterPatience); ; time.Sleep(clusterPoll) {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s: %v", what, clusterPatience, err)
		}
	}
}

// person is a user of the SDK who writes down all that the handlers are told.
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

// newPerson registers a user at an address and logs it in.
func newPerson(t *testing.T, addr, name string) *person {
	t.Helper()
	p := newDevice(t, addr, name, "phone", nil)
	if _, err := p.Register(t.Context(), name, personPassword); err != nil {
		t.Fatal(err)
	}
	p.login()
	return p
}

// newDevice is a device of a user who is registered, not yet logged in.
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
	t.Cleanup(func() { _ = c.Close() }) // its state is kept nowhere: nothing to save
	return p
}

func (p *person) login() {
	p.t.Helper()
	if err := p.Login(p.t.Context(), p.name, personPassword); err != nil {
		p.t.Fatalf("%s logs in: %v", p.name, err)
	}
	p.id, _ = p.Me()
}

func (p *person) note(f func()) {
	p.mu.Lock()
	f()
	p.mu.Unlock()
	p.grew.Broadcast()
}

// until waits until cond, which is called under p.mu, holds.
func (p *person) until(what string, within time.Duration, cond func() bool) bool {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), within)
	defer cancel()
	// Under the lock, or the last wake could fall between a look and the wait.
	stop := context.AfterFunc(ctx, func() { p.note(func() {}) })
	defer stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !cond() {
		if ctx.Err() != nil {
			p.t.Errorf("%s: not within %s: %s", p.name, within, what)
			return false
		}
		p.grew.Wait()
	}
	return true
}

// hears waits for a text in a conversation.
func (p *person) hears(conv client.Conv, text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("%q in %s", text, conv), clusterPatience, func() bool {
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
	ctx, cancel := context.WithTimeout(p.t.Context(), clusterPatience)
	defer cancel()
	r, err := p.Send(ctx, conv, text)
	if err != nil {
		p.t.Fatalf("%s says %q: %v", p.name, text, err)
	}
	return r
}
