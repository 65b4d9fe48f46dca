package test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"chatd/internal/realservice"
)

// TestSecretsAreNotPrinted checks that passwords of the database and Redis never appear in
// errors and logs, whatever is wrong with the settings: the password, the address, the
// URL, the configuration file, or the order of the arguments.
func TestSecretsAreNotPrinted(t *testing.T) {
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
		append(at, "--db", fmt.Sprintf("mysql://chat:%s@127.0.0.1:%d/chatd", secret, m.Port)),            // wrong password
		append(at, "--db", "mysql://chat:"+secret+"@127.0.0.1:1/chatd"),                                  // unreachable
		append(at, "--db", "mysql://chat:"+secret+"@127.0.0.1:1/chatd?x=y"),                              // with an option
		append(at, "--db", "mysql://chat:"+secret+"%zz@127.0.0.1:1/chatd"),                               // not a URL
		append(at, "--db", "mysql:/chat:"+secret+"@127.0.0.1:1/chatd"),                                   // a slash missing
		append(at, "--db", "postgres://chat:"+secret+"@127.0.0.1:1/chatd"),                               // unknown database
		append(at, "--db", good, "--redis", fmt.Sprintf("redis://:%s@127.0.0.1:%d", secret, redis.Port)), // wrong password
		append(at, "--db", good, "--redis", "redis://:"+secret+"@127.0.0.1:1"),
		append(at, "--db", good, "--redis", "redis://:"+secret+"%zz@127.0.0.1:1"),
		append(at, "--db", good, "--redis", "http://me:"+secret+"@127.0.0.1:1"),
		append(at, "mysql://chat:"+secret+"@127.0.0.1:1/chatd"), // a URL as a positional argument
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
			t.Errorf("%q: exit code %d, want an error that doesn't contain %q; got\n%s", args, code, secret, log)
		}
	}
}
