package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

const (
	healthTimeout = 5 * time.Second // for the whole request
	maxHealth     = 256             // bytes of a response that are used
)

// FetchHealth requests a health check of a node, and returns the first line of the
// response. It blocks for up to healthTimeout. It returns an error if there is no
// response, or one with a status other than 200.
func FetchHealth(ctx context.Context, address string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil || (r.URL.Scheme != "http" && r.URL.Scheme != "https") || r.URL.Host == "" {
		return "", fmt.Errorf("%q is not a URL such as http://127.0.0.1:8080/readyz", address)
	}
	// The request must not go to a proxy from the environment or follow
	// redirects.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return "", fmt.Errorf("%s: %w", r.URL.Redacted(), err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxHealth))
	if err != nil {
		return "", fmt.Errorf("%s: %w", r.URL.Redacted(), err)
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", r.URL.Redacted(), resp.Status, line)
	}
	return line, nil
}

// HealthURL returns the URL of /readyz of a node with the setting --http addr, for a
// request from the same machine. addr must not be empty.
func HealthURL(addr string) string {
	return "http://" + reachable(addr) + "/readyz"
}

// reachable returns host:port at which this machine reaches a server that listens on
// addr, which may be all addresses.
func reachable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr // checked by CheckSettings
	}
	switch ip, err := netip.ParseAddr(host); {
	case host == "" || err == nil && ip.IsUnspecified() && ip.Is4():
		host = "127.0.0.1"
	case err == nil && ip.IsUnspecified():
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}
