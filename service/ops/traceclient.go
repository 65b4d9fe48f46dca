package ops

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	traceTimeout = 15 * time.Second // for the whole request
	maxTrace     = 64 << 20         // most bytes of a response
)

// FetchTrace sends GET /trace to the admin address addr and returns the JSON
// response. It blocks for up to traceTimeout. It returns a *RequestError if the
// node refused the request; after any other error there is no response.
func FetchTrace(ctx context.Context, addr string, query url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, traceTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "http", Host: addr, Path: "/trace", RawQuery: query.Encode()}).String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", addr, err)
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
			err = u.Err // without the URL and its query
		}
		return nil, fmt.Errorf("ask %s: %w", addr, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxTrace+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w", addr, err)
	case len(body) > maxTrace:
		return nil, fmt.Errorf("ask %s: the response is larger than %d bytes", addr, maxTrace)
	case resp.Header.Get(requestErrorHeader) != "":
		return nil, &RequestError{resp.StatusCode == http.StatusNotFound, strings.TrimSpace(string(body))}
	case resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json"):
		return nil, fmt.Errorf("ask %s: unexpected response %s: this is no admin address of chatd, or the trace failed there; see the node's log", addr, resp.Status)
	}
	return body, nil
}
