package bus

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"chatd/internal/setting"

	"github.com/VictoriaMetrics/metrics"
	"github.com/gomodule/redigo/redis"
)

// RedisConfig holds the settings of the connection to Redis. The Redis user
// needs the commands PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PING and CLIENT
// SETNAME, and the channels u:*, g:* and nodes.
type RedisConfig struct {
	Redis             string `group:"nodes" name:"redis" placeholder:"URL" common:"" help:"Redis that connects the nodes of a cluster: redis://host:6379, or rediss:// for TLS. Needs a mysql:// database. Empty: a single node."`
	RedisPasswordFile string `group:"nodes" name:"redis-password-file" placeholder:"FILE" common:"" help:"File with the Redis password, instead of a password in --redis."` // read at each connect

	TLS    *tls.Config  `kong:"-"` // for rediss:// URLs; nil: the system's CA certificates
	Node   string       `kong:"-"` // this node's name, for CLIENT LIST
	Logger *slog.Logger `kong:"-"` // nil: slog.Default()
	Set    *metrics.Set `kong:"-"` // nil: a private one

	commandTimeout, dialTimeout time.Duration // for tests; 0: the constants of the same names
}

// CheckSettings adds each invalid setting to p. An empty --redis is valid.
func (c *RedisConfig) CheckSettings(p *setting.Problems) {
	if c.Redis != "" {
		_, err := parseRedisURL(*c)
		p.Check(err == nil, "redis", "%q: %v", setting.Redacted(c.Redis), err)
	}
	p.Check(c.RedisPasswordFile == "" || c.Redis != "", "redis-password-file", "set without --redis; set --redis as well")
}

// Limits that are not settings.
const (
	commandTimeout    = 500 * time.Millisecond // for one Publish or Now
	dialTimeout       = 2 * time.Second        // for connecting, TLS and login together
	pingEvery         = time.Second            // on the subscriber connection
	subscriberTimeout = 3 * time.Second        // for a read or write on the subscriber connection
	minBackoff        = 50 * time.Millisecond
	maxBackoff        = 2 * time.Second
	channelBatch      = 500 // most channels in one command
	maxConns          = 64  // most connections in use by commands; other callers wait
	maxIdleConns      = 8   // most connections kept for later commands
	idleTimeout       = 30 * time.Second
	warnEvery         = time.Minute // between log lines about failed attempts to connect
)

// endpoint is a Redis server and the credentials for it.
type endpoint struct {
	address        string // host and port
	user, password string
	passwordFile   string
	clientName     string // for CLIENT SETNAME
	tls            *tls.Config
	dialTimeout    time.Duration
}

// parseRedisURL returns the endpoint of cfg. Its errors don't contain the URL,
// which may have a password in it.
func parseRedisURL(cfg RedisConfig) (endpoint, error) {
	u, err := url.Parse(cfg.Redis)
	if err != nil {
		return endpoint{}, errors.New("the URL is invalid; use redis://host:6379")
	}
	e := endpoint{passwordFile: cfg.RedisPasswordFile, clientName: clientName(cfg.Node), dialTimeout: cmp.Or(cfg.dialTimeout, dialTimeout)}
	switch u.Scheme {
	case "redis":
	case "rediss":
		e.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if cfg.TLS != nil {
			e.tls = cfg.TLS.Clone()
		}
		if e.tls.ServerName == "" {
			e.tls.ServerName = u.Hostname()
		}
	default:
		return endpoint{}, fmt.Errorf("the URL has the scheme %q; use redis:// or rediss://", u.Scheme)
	}
	switch {
	case u.Hostname() == "" || u.Opaque != "":
		return endpoint{}, errors.New("the URL has no host; use redis://host:6379")
	case u.Path != "" && u.Path != "/":
		return endpoint{}, fmt.Errorf("the URL has the path %q; remove it: pub/sub channels don't belong to a database", u.Path)
	case u.RawQuery != "" || u.Fragment != "":
		return endpoint{}, errors.New("the URL has parameters; remove them: none are supported")
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	e.address = net.JoinHostPort(u.Hostname(), port)
	e.user = u.User.Username()
	e.password, _ = u.User.Password()
	switch {
	case e.password != "" && e.passwordFile != "":
		return endpoint{}, errors.New("there is a password in the URL and a password file; set only one of them")
	case e.user != "" && e.password == "" && e.passwordFile == "":
		return endpoint{}, errors.New("the URL has a user but no password; for a password without a user, use redis://:password@host")
	}
	return e, nil
}

// clientName returns the client name of a node. CLIENT SETNAME accepts only
// printable ASCII without spaces.
func clientName(node string) string {
	return "chatd-" + strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, node)
}

// conn is a connection to Redis. To close it, close raw: that is safe from any
// goroutine, and makes calls that are in progress fail.
type conn struct {
	redis.Conn
	raw        net.Conn
	idleSince  time.Time
	generation int // of the pool
}

// dial connects and logs in. It blocks for up to dialTimeout.
func (e *endpoint) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, e.dialTimeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", e.address)
	if err != nil {
		return nil, err
	}
	c := &conn{raw: raw}
	err = c.withContext(ctx, func() error { return e.handshake(ctx, c) })
	if err != nil {
		_ = raw.Close() // no data on it is needed
		return nil, fmt.Errorf("handshake with %s: %w", e.address, err)
	}
	return c, nil
}

// handshake starts TLS if it is configured, authenticates, and sets the client
// name. It sets c.Conn.
func (e *endpoint) handshake(ctx context.Context, c *conn) error {
	stream := c.raw
	if e.tls != nil {
		t := tls.Client(c.raw, e.tls)
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		stream = t
	}
	c.Conn = redis.NewConn(stream, 0, 0)
	password := e.password
	if e.passwordFile != "" {
		b, err := os.ReadFile(e.passwordFile)
		if err != nil {
			return fmt.Errorf("password file: %w", err)
		}
		password = strings.TrimPrefix(strings.TrimRight(string(b), "\r\n"), "\ufeff") // a byte order mark
	}
	if password != "" {
		args := []any{password}
		if e.user != "" {
			args = []any{e.user, password}
		}
		if _, err := c.Do("AUTH", args...); err != nil {
			return fmt.Errorf("AUTH: %w", err)
		}
	}
	_, err := c.Do("CLIENT", "SETNAME", e.clientName)
	return err
}

// withContext calls f, and closes c if ctx ends before f returns.
func (c *conn) withContext(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() }) // makes f return
	err := f()
	if !stop() { // ctx has ended: c is or will be closed
		return context.Cause(ctx)
	}
	return err
}

// isPermanent reports whether err is caused by wrong settings, so that a retry
// wouldn't help.
func isPermanent(err error) bool {
	var reply redis.Error
	if errors.As(err, &reply) {
		if strings.Contains(string(reply), "max number of clients") {
			return false // there may be room later
		}
		for _, code := range []string{"NOAUTH", "WRONGPASS", "NOPERM", "ERR"} {
			if strings.HasPrefix(string(reply), code) {
				return true
			}
		}
	}
	var certErr *tls.CertificateVerificationError
	var fileErr *os.PathError
	return errors.As(err, &certErr) || errors.As(err, &fileErr)
}
