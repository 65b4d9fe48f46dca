package service_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"

	"chatd/proto"
	"chatd/service/login"
)

// The database files contain no passwords or tokens, so that nobody who reads
// them can log in.
func TestNoSecretsInDatabase(t *testing.T) {
	t.Parallel()
	n := serve(t)
	w := n.dial()
	const password, newer = "correct horse battery", "staple correct horse"
	w.ok(obj{"msgid": proto.REG, "name": "anna", "password": password})
	w.ok(obj{"msgid": proto.LOGIN, "name": "anna", "password": password})
	token := w.welcome.str("token")
	changed := w.ok(obj{"msgid": proto.PASSWORD, "password": password, "newpassword": newer}).str("token")
	if len(token) < 43 || len(changed) < 43 || token == changed {
		t.Errorf("tokens are %q and %q, want two different ones of at least 43 characters", token, changed)
	}
	w.say(with(w.id), "a note that is stored in clear text")
	files, err := filepath.Glob(strings.TrimPrefix(n.cfg.model.DB, "sqlite:") + "*")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		found = found || bytes.Contains(b, []byte("a note that is stored"))
		for _, secret := range []string{password, newer, token, changed} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s contains %q, want no passwords and tokens", name, secret)
			}
		}
	}
	if !found {
		t.Errorf("the note isn't in any of %q, want it there: does the test read the right files?", files)
	}
}

// A hash with another cost than the configured one is replaced at the next
// successful login by password. Tokens stay valid.
func TestHashIsReplacedAtLogin(t *testing.T) {
	t.Parallel()
	n := serve(t)
	old := argon2id.Params{Memory: 16, Iterations: 2, Parallelism: 1, SaltLength: 16, KeyLength: 32}
	hash, err := login.HashPassword(old, secret)
	if err != nil {
		t.Fatal(err)
	}
	id, err := n.db.CreateUser(t.Context(), "anna", "anna", hash)
	if err != nil {
		t.Fatal(err)
	}
	cost := func() argon2id.Params {
		u, err := n.db.UserByID(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		p, _, _, err := argon2id.DecodeHash(u.Hash)
		if err != nil {
			t.Fatal(err)
		}
		return *p
	}
	n.dial().refused(proto.Refused, obj{"msgid": proto.LOGIN, "id": id, "password": "a wrong one"})
	if got := cost(); got != old {
		t.Errorf("cost after a failed login is %+v, want %+v as before", got, old)
	}
	w := n.login(id)
	if got := cost(); got != cheap {
		t.Errorf("cost after a login is %+v, want %+v", got, cheap)
	}
	w.close()
	n.dial().ok(obj{"msgid": proto.LOGIN, "token": w.welcome.str("token")})
	n.login(id, obj{"device": "another"})
}

// Texts arrive unchanged, even if they look like SQL, HTML, JSON, shell
// commands or terminal escapes.
func TestBodiesAreNotInterpreted(t *testing.T) {
	t.Parallel()
	n := serve(t)
	ids := n.users("anna", "berta")
	a, b := n.login(ids[0]), n.login(ids[1])
	bodies := []string{
		`'; DROP TABLE users; --`, `" OR ""="`, `?`, `$1 %s %d {{.}} ${HOME} $(id)`, `<script>alert(1)</script>&amp;`,
		`{"msgid":23,"reason":"abuse"}`, `\u0000 \n \\`, "nul \x00 esc \x1b[2J del \x7f c1 \u009b bidi \u202e", "\ufeffmark", "\U0010ffff", "\r\n\r\nGET / HTTP/1.1",
		"../../etc/passwd", "=cmd|' /C calc'!A0", "你好世 'é' e\u0301",
	}
	for i, body := range bodies {
		a.ok(with(ids[1]).chatID(body, fmt.Sprintf("%s %d", body[:1], i)))
	}
	b.has(with(ids[0]), 1, int64(len(bodies)))
	for i, body := range bodies {
		if got := b.bodies[with(ids[0])][int64(i+1)].str("msg"); got != body {
			t.Errorf("pushed %q, want %q", got, body)
		}
	}
	for i, m := range b.history(with(ids[0])) {
		if got := m.str("msg"); got != bodies[i] {
			t.Errorf("SYNC got %q, want %q", got, bodies[i])
		}
	}
}
