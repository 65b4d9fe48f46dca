package bus

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"chatd/internal/realservice"
)

const secret = "s3cret!hush"

// Errors say what is wrong with the URL, and don't contain the password.
func TestRedisURL(t *testing.T) {
	for given, want := range map[string]string{
		"redis://host":                           "",
		"redis://host:1/":                        "",
		"redis://[::1]:6379":                     "",
		"rediss://user:" + secret + "@host":      "",
		"redis://:" + secret + "@host":           "",
		"redis://:" + secret + "@host:x":         "URL is invalid",
		"redis://user:" + secret + "\x7f@host":   "URL is invalid",
		"http://:" + secret + "@host":            `scheme "http"`,
		"host:6379":                              `scheme "host"`,
		"redis://:" + secret + "@host/3":         "has the path",
		"redis://:" + secret + "@host?db=" + "4": "parameters",
		"redis://:" + secret + "@":               "has no host",
		"redis:" + secret:                        "has no host",
		"redis://user@host":                      "a user but no password",
		"":                                       `scheme ""`,
	} {
		_, err := parseRedisURL(RedisConfig{Redis: given})
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v, want no error", given, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%q: error %v, want one with %q", given, err, want)
		case err != nil && strings.Contains(err.Error(), secret):
			t.Errorf("the error %q contains the password", err)
		}
	}
	if _, err := parseRedisURL(RedisConfig{Redis: "redis://:x@host", RedisPasswordFile: "y"}); err == nil {
		t.Error("a password in the URL and a file: no error, want one")
	}
	e, err := parseRedisURL(RedisConfig{Redis: "redis://host", Node: "my node\nä:1"})
	if err != nil || e.address != "host:6379" || e.clientName != "chatd-my-node--:1" {
		t.Errorf("parseRedisURL: %+v, %v; want address host:6379 and client name chatd-my-node--:1", e, err)
	}
}

// DialRedis fails if Redis refuses the password. Neither errors nor the log
// contain the password.
func TestPasswords(t *testing.T) {
	server := realservice.Redis(t, "--requirepass", secret)
	server.Client(t, strings.Fields("-a "+secret+" --no-auth-warning ACL SETUSER node on >"+secret+
		" resetchannels &u:* &g:* &nodes -@all +publish +subscribe +unsubscribe +ping +client|setname")...)
	dir := t.TempDir()
	file, other := write(t, filepath.Join(dir, "password"), secret+"\n"), write(t, filepath.Join(dir, "other"), "wrong")
	host := strings.TrimPrefix(server.URL, "redis://")
	for _, cfg := range []RedisConfig{
		{Redis: "redis://" + host},
		{Redis: "redis://:wrong" + "@" + host},
		{Redis: "redis://" + host, RedisPasswordFile: other},
		{Redis: "redis://" + host, RedisPasswordFile: filepath.Join(dir, "missing")},
	} {
		if _, err := tryDial(t, cfg); err == nil || strings.Contains(err.Error(), "wrong@") {
			t.Errorf("%+v: error %v, want one without the password", cfg, err)
		}
	}
	a := dial(t, RedisConfig{Redis: "redis://:" + url.QueryEscape(secret) + "@" + host})
	b := dial(t, RedisConfig{Redis: "redis://node@" + host, RedisPasswordFile: file}) // with only the permissions that RedisConfig lists
	b.subscribe(t, User(1), Nodes)
	a.subscribe(t, Group(1))
	a.publish(t, User(1), "hello")
	b.waitReceived(t, 1)
	b.publish(t, Group(1), "hello")
	a.waitReceived(t, 1)

	// The password file is read again for each connection.
	server.Client(t, "-a", secret, "--no-auth-warning", "ACL", "SETUSER", "node", "resetpass", ">new"+secret)
	write(t, file, "new"+secret)
	server.Client(t, "-a", secret, "--no-auth-warning", "CLIENT", "KILL", "USER", "node")
	b.waitUp(t, false)
	b.waitUp(t, true)

	server.Kill(t)
	a.waitUp(t, false)
	b.waitUp(t, false)
	for _, p := range []*testNode{a, b} {
		if log := p.log.String(); strings.Contains(log, secret) || !strings.Contains(log, "Redis is unavailable") {
			t.Errorf("the log must say that Redis is unavailable, without the password:\n%s", log)
		}
	}
}

// rediss:// uses TLS and verifies the certificate and its name.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	pool := certificate(t, dir)
	port := realservice.Port(t)
	realservice.Redis(t, "--tls-port", strconv.Itoa(port), "--tls-auth-clients", "no",
		"--tls-cert-file", filepath.Join(dir, "cert"), "--tls-key-file", filepath.Join(dir, "key"))
	address := "rediss://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if _, err := tryDial(t, RedisConfig{Redis: address}); err == nil {
		t.Error("a certificate of an unknown authority: no error, want one")
	}
	if _, err := tryDial(t, RedisConfig{Redis: address, TLS: &tls.Config{RootCAs: pool, ServerName: "example.org"}}); err == nil {
		t.Error("a certificate for another name: no error, want one")
	}
	a, b := dial(t, RedisConfig{Redis: address, TLS: &tls.Config{RootCAs: pool}}), dial(t, RedisConfig{Redis: address, TLS: &tls.Config{RootCAs: pool}})
	b.subscribe(t, User(1))
	a.publish(t, User(1), strings.Repeat("long ", 20_000))
	b.waitReceived(t, 1)
}

// certificate writes a certificate for 127.0.0.1 and its key to dir. It returns
// a pool that contains the certificate.
func certificate(t *testing.T, dir string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	write(t, filepath.Join(dir, "cert"), string(certPEM))
	write(t, filepath.Join(dir, "key"), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER})))
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool
}
