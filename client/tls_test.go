package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"chatd/proto"
)

// TLS runs on top of Config.Dial. The certificate is verified, and the last receipts
// arrive although the client closes the connection.
func TestTLS(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	if err != nil {
		t.Fatal(err)
	}
	f, rec := newFakeOn(t, ln), newRecord(t)

	stranger := f.newClient(nil, func(cfg *Config) { cfg.TLS = &tls.Config{} })
	var unknown x509.UnknownAuthorityError
	if err := stranger.Login(within(t), "alice", "secret"); !errors.As(err, &unknown) || !errors.Is(err, ErrNotConnected) {
		t.Errorf("Login with an unknown certificate = %v, want ErrNotConnected and x509.UnknownAuthorityError", err)
	}
	f.accept()

	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(cert)
	dials := 0
	c, p := f.loggedIn(rec, proto.Response{Offline: []proto.Chat{chat(1)}}, func(cfg *Config) {
		cfg.TLS = &tls.Config{RootCAs: pool}
		cfg.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials++
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	})
	if dials != 1 {
		t.Errorf("Config.Dial was called %d times, want 1", dials)
	}
	rec.seqs(1)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for range p.requests { // closed at the connection's end
	}
	if q := take(t, p.receipts, "the receipt"); q.Seq != 1 {
		t.Errorf("receipt = %+v, want seq 1", q)
	}
}
