package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatd/internal/realservice"
)

// A password, of the database or of Redis, is in nothing that chatd says,
// whatever is wrong: the password itself, the address, the URL, the file, or
// where on the line it stands.
func TestSecretsAreNotTold(t *testing.T) {
	dir := t.TempDir()
	m, redis := realservice.NewMariaDB(t), realservice.Redis(t, "--requirepass", "another")
	const secret = "s3cr3t"
	good := m.URL
	conf := func(text string) string {
		name := filepath.Join(dir, fmt.Sprintf("%x.toml", text[:min(12, len(text))]))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	at := []string{"127.0.0.1", "0", "--http=", "--wait=0s", "--log-level=debug"}
	for _, args := range [][]string{
		append(at, "--db", fmt.Sprintf("mysql://chat:%s@127.0.0.1:%d/chatd", secret, m.Port)),            // refused
		append(at, "--db", "mysql://chat:"+secret+"@127.0.0.1:1/chatd"),                                  // not there
		append(at, "--db", "mysql://chat:"+secret+"@127.0.0.1:1/chatd?x=y"),                              // an option
		append(at, "--db", "mysql://chat:"+secret+"%zz@127.0.0.1:1/chatd"),                               // no URL
		append(at, "--db", "mysql:/chat:"+secret+"@127.0.0.1:1/chatd"),                                   // nearly one
		append(at, "--db", "postgres://chat:"+secret+"@127.0.0.1:1/chatd"),                               // unknown
		append(at, "--db", good, "--redis", fmt.Sprintf("redis://:%s@127.0.0.1:%d", secret, redis.Port)), // refused
		append(at, "--db", good, "--redis", "redis://:"+secret+"@127.0.0.1:1"),
		append(at, "--db", good, "--redis", "redis://:"+secret+"%zz@127.0.0.1:1"),
		append(at, "--db", good, "--redis", "http://me:"+secret+"@127.0.0.1:1"),
		append(at, "mysql://chat:"+secret+"@127.0.0.1:1/chatd"), // where no URL belongs
		append(at, "--config", conf(`db = "mysql://chat:`+secret+`@h/chatd`)),
		append(at, "--config", conf(`db = mysql://chat:`+secret+`@h/chatd`)),
		append(at, "--config", conf(`wait = "mysql://chat:`+secret+`@h/chatd"`)),
		append(at, "--config", conf(`redis-password = "`+secret+`"`)),
		{"migrate", "--from", "sqlite:" + dir + "/none.db", "--to", "mysql://chat:" + secret + "@127.0.0.1:1/chatd"},
		{"trace", "--group", "1", "--seq", "1", "--db", "mysql://chat:" + secret + "@127.0.0.1:1/chatd"},
		{"user", "ban", "x", "--db", "mysql://chat:" + secret + "@127.0.0.1:1/chatd"},
	} {
		code, log := startDaemon(t, dir, args...).exit(t)
		if code == exitDone || log == "" || strings.Contains(log, secret) {
			t.Errorf("%q: exit code %d\n%s", args, code, log)
		}
	}
}
