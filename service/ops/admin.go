package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/VictoriaMetrics/metrics"
)

// Bounds of asking an admin address.
const (
	askTimeout = 15 * time.Second // in all
	maxAnswer  = 64 << 20         // bytes of an answer that are read

	refusalHeader = "Chatd-Refusal" // tells a refusal from what any other server says
)

// Refusal is a question's own fault: it is answered with 400, or with 404
// where what it is about isn't there, and the text. Any other error of a
// Trace is answered with 500 and logged.
type Refusal struct {
	NotFound bool
	Text     string
}

func (r *Refusal) Error() string { return r.Text }

// NewAdmin makes a Server of the operator's questions, which doesn't listen
// yet: GET /trace, and the profiles. Of Config it uses Admin, Trace, Set and
// Logger.
func NewAdmin(cfg Config) *Server {
	return newServer(cfg, cfg.Admin, "chatd_ops_admin", (*Server).admin)
}

// IsLoopback reports whether only this machine reaches an address, host:port,
// that is listened on. A host name does only where it is localhost: what any
// other means can change.
func IsLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// admin routes as handler does.
func (s *Server) admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/trace", s.trace)
	mux.Handle("/debug/pprof/", profiles())
	return s.strict(direct(mux))
}

// direct serves who has asked by an address or as localhost. A page from
// elsewhere whose host name was made to lead here is told nothing: that a
// browser runs on this machine must not open its loopback to the web.
func direct(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostName(r.Host)
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
			plain(w, http.StatusMisdirectedRequest, "ask by address, or as localhost\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// profiles serves pprof. No pprof.Cmdline: a command line may hold the
// password of a store.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}

// trace answers one question with JSON.
func (s *Server) trace(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		plain(w, http.StatusBadRequest, "the query can't be read\n")
		return
	}
	answer, err := s.cfg.Trace(r.Context(), query)
	var refusal *Refusal
	switch {
	case errors.As(err, &refusal):
		status := http.StatusBadRequest
		if refusal.NotFound {
			status = http.StatusNotFound
		}
		w.Header().Set(refusalHeader, "1")
		plain(w, status, refusal.Text+"\n")
		return
	case err != nil:
		s.cfg.Logger.Error("a trace failed", "err", err)
		plain(w, http.StatusInternalServerError, "it could not be found out; the log says why\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		s.cfg.Logger.Debug("a trace was not taken", "err", err)
	}
}

// Ask asks GET /trace of the admin address addr, and blocks for askTimeout at
// most. The answer is JSON. Errors: *Refusal where the question was refused;
// any other means that nobody could be asked.
func Ask(ctx context.Context, addr string, query url.Values) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, (&url.URL{Scheme: "http", Host: addr, Path: "/trace", RawQuery: query.Encode()}).String(), nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", addr, err)
	}
	// No proxy of the environment's, and no redirect, may see the question.
	transport := &http.Transport{DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err // it repeats the whole question
		}
		return nil, fmt.Errorf("ask %s: %w", addr, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ask %s: %w", addr, err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("ask %s: the answer has more than %d bytes", addr, maxAnswer)
	case resp.Header.Get(refusalHeader) != "":
		return nil, &Refusal{resp.StatusCode == http.StatusNotFound, strings.TrimSpace(string(body))}
	case resp.StatusCode != http.StatusOK || !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json"):
		return nil, fmt.Errorf("ask %s: it answers %s, and is no admin address of chatd or has no answer", addr, resp.Status)
	}
	return body, nil
}

// counters are named after what the server is for: a set holds both.
func counters(set *metrics.Set, name string) (requests, refused *metrics.Counter) {
	return set.NewCounter(name + "_requests_total"), set.NewCounter(name + "_refused_total")
}
