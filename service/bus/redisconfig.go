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

// RedisConfig says which Redis connects the nodes, and as whom. Its user needs
// the commands PUBLISH, SUBSCRIBE, UNSUBSCRIBE, PUBSUB NUMSUB, TIME, PING and
// CLIENT SETNAME, and the channels u:* and g:*.
type RedisConfig struct {
	Redis             string `group:"nodes" name:"redis" placeholder:"URL" common:"" help:"Redis that connects several nodes over one MySQL: redis://host:6379, or rediss:// for TLS. Empty: a single node."`
	RedisPasswordFile string `group:"nodes" name:"redis-password-file" placeholder:"FILE" common:"" help:"File with the Redis password, instead of a password in --redis."` // read at each connect

	TLS    *tls.Config  `kong:"-"` // of rediss; nil: what the system trusts
	Node   string       `kong:"-"` // this node's name, for CLIENT LIST
	Logger *slog.Logger `kong:"-"` // nil: slog.Default()
	Set    *metrics.Set `kong:"-"` // nil: one of its own

	answer, dialing time.Duration // 0: askTimeout, dialTimeout; more where a test isn't about that
}

// CheckSettings notes each setting that has an invalid value. Without --redis
// there is nothing to connect to, which is valid.
func (c *RedisConfig) CheckSettings(p *setting.Problems) {
	if c.Redis != "" {
		u, err := url.Parse(c.Redis)
		// The parser's error repeats the URL, with the password.
		p.Check(err == nil && (u.Scheme == "redis" || u.Scheme == "rediss") && u.Host != "", "redis", "%q is not redis://host:6379", setting.Redacted(c.Redis))
	}
	p.Check(c.RedisPasswordFile == "" || c.Redis != "", "redis-password-file", "it is set, but --redis isn't")
}

// Bounds that are not settings.
const (
	askTimeout   = 500 * time.Millisecond // of one Publish, Online or Now
	dialTimeout  = 2 * time.Second        // of connecting, all greetings included
	pingEvery    = time.Second            // on the subscriber's connection
	silence      = 3 * time.Second        // without a word, after which it is given up; also of a write
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 2 * time.Second
	channelBatch = 500 // channels in one command
	maxConns     = 64  // connections that ask at the same time; more callers wait
	maxIdleConns = 8   // of them kept for the next
	idleTimeout  = 30 * time.Second
	warnEvery    = time.Minute // that connecting still fails
)

// where is a Redis and how to be let in, as a URL says it.
type where struct {
	address        string // host and port
	user, password string
	passwordFile   string
	name           string // of the node, as CLIENT SETNAME takes it
	tls            *tls.Config
	dialing        time.Duration
}

// parseRedis never repeats the URL in an error: there may be a password in it.
func parseRedis(cfg RedisConfig) (where, error) {
	u, err := url.Parse(cfg.Redis)
	if err != nil {
		return where{}, errors.New("redis: the URL can't be read; it should be like redis://host:6379")
	}
	w := where{passwordFile: cfg.RedisPasswordFile, name: clientName(cfg.Node), dialing: cmp.Or(cfg.dialing, dialTimeout)}
	switch u.Scheme {
	case "redis":
	case "rediss":
		w.tls = &tls.Config{MinVersion: tls.VersionTLS12}
		if cfg.TLS != nil {
			w.tls = cfg.TLS.Clone()
		}
		if w.tls.ServerName == "" {
			w.tls.ServerName = u.Hostname()
		}
	default:
		return where{}, fmt.Errorf("redis: the URL begins with %q; only redis:// and rediss:// are known", u.Scheme)
	}
	switch {
	case u.Hostname() == "" || u.Opaque != "":
		return where{}, errors.New("redis: the URL names no host; it should be like redis://host:6379")
	case u.Path != "" && u.Path != "/":
		return where{}, fmt.Errorf("redis: the URL ends with %q: leave a database's number away, what is published is heard in all of them", u.Path)
	case u.RawQuery != "" || u.Fragment != "":
		return where{}, errors.New("redis: the URL has parameters; none are known")
	}
	port := u.Port()
	if port == "" {
		port = "6379"
	}
	w.address = net.JoinHostPort(u.Hostname(), port)
	w.user = u.User.Username()
	w.password, _ = u.User.Password()
	switch {
	case w.password != "" && w.passwordFile != "":
		return where{}, errors.New("redis: a password in the URL and in a file: give one of them")
	case w.user != "" && w.password == "" && w.passwordFile == "":
		return where{}, errors.New("redis: the URL names a user and no password; for a password alone, put a colon before it")
	}
	return w, nil
}

// clientName leaves of a name what CLIENT SETNAME accepts.
func clientName(node string) string {
	return "chatd-" + strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' {
			return '-'
		}
		return r
	}, node)
}

// conn is a connection to Redis. It is closed through raw, which any goroutine
// may do at any time: that ends whatever is done with it.
type conn struct {
	redis.Conn
	raw   net.Conn
	since time.Time // idle
	era   int       // of the pool
}

// dial connects and logs in, within dialTimeout.
func (w *where) dial(ctx context.Context) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, w.dialing)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", w.address)
	if err != nil {
		return nil, err
	}
	c := &conn{raw: raw}
	err = c.within(ctx, func() error { return w.greet(ctx, c) })
	if err != nil {
		_ = raw.Close() // it is of no use, whatever this says
		return nil, fmt.Errorf("greet %s: %w", w.address, err)
	}
	return c, nil
}

func (w *where) greet(ctx context.Context, c *conn) error {
	stream := c.raw
	if w.tls != nil {
		t := tls.Client(c.raw, w.tls)
		if err := t.HandshakeContext(ctx); err != nil {
			return err
		}
		stream = t
	}
	c.Conn = redis.NewConn(stream, 0, 0)
	password := w.password
	if w.passwordFile != "" {
		b, err := os.ReadFile(w.passwordFile)
		if err != nil {
			return fmt.Errorf("password file: %w", err)
		}
		password = strings.TrimRight(string(b), "\r\n")
	}
	if password != "" {
		args := []any{password}
		if w.user != "" {
			args = []any{w.user, password}
		}
		if _, err := c.Do("AUTH", args...); err != nil {
			return fmt.Errorf("AUTH: %w", err)
		}
	}
	_, err := c.Do("CLIENT", "SETNAME", w.name)
	return err
}

// within runs f, which talks on c, and closes c when ctx ends before f does.
func (c *conn) within(ctx context.Context, f func() error) error {
	stop := context.AfterFunc(ctx, func() { _ = c.raw.Close() }) // to end f is all that is asked of it
	err := f()
	if !stop() { // closed, or about to be
		return context.Cause(ctx)
	}
	return err
}

// hopeless reports whether trying again can't help: what is wrong is what the
// operator has set.
func hopeless(err error) bool {
	var refused redis.Error
	if errors.As(err, &refused) {
		if strings.Contains(string(refused), "max number of clients") {
			return false // passes
		}
		for _, word := range []string{"NOAUTH", "WRONGPASS", "NOPERM", "ERR"} {
			if strings.HasPrefix(string(refused), word) {
				return true
			}
		}
	}
	var bad *tls.CertificateVerificationError
	var file *os.PathError
	return errors.As(err, &bad) || errors.As(err, &file)
}
