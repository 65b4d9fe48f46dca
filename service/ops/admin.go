package ops

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"net/url"
	"strconv"

	"github.com/VictoriaMetrics/metrics"
)

// requestErrorHeader marks a response as a RequestError, because a 400 or 404
// may also come from another server.
const requestErrorHeader = "Chatd-Refusal"

// RequestError is an error that the request caused, such as an invalid
// parameter. The status is 400, or 404 if NotFound is set, and the body is Text.
// For any other error of Config.Trace the status is 500 and the error is logged.
type RequestError struct {
	NotFound bool
	Text     string
}

func (e *RequestError) Error() string { return e.Text }

// NewAdmin returns a Server for operators, with /trace and /debug/pprof. It
// listens once Start is called. It uses only Admin, Trace, Set and Logger of
// Config.
func NewAdmin(cfg Config) *Server {
	return newServer(cfg, cfg.Admin, "chatd_ops_admin", &adminBounds, (*Server).adminHandler)
}

// IsLoopback reports whether only this machine can reach a server that listens
// on addr (host:port). Of host names only localhost counts: what another name
// resolves to can change.
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

// adminHandler routes the requests to a Server of NewAdmin.
func (s *Server) adminHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/trace", s.serveTrace)
	mux.Handle("/debug/pprof/", pprofHandler())
	return s.secure(requireLocalHost(refuseWebPages(mux)))
}

// refuseWebPages refuses requests that the page of another site makes through a
// browser on this machine or in its network. The page couldn't read the response,
// but a profile or a trace costs the node time. Sec-Fetch-Site comes from
// browsers, and no page can forge it; older browsers send Origin with some
// requests.
func refuseWebPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
		if site != "" && site != "none" && site != "same-origin" || origin != "" && origin != "http://"+r.Host {
			writeText(w, http.StatusForbidden, "pages of other sites may not use this address; type or paste its URL\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// maxProfile is the longest profile or execution trace, in seconds.
const maxProfile = 60

// limitSeconds refuses requests for a profile that takes longer than maxProfile.
// Without the parameter seconds, net/http/pprof takes 30 at most.
func limitSeconds(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, v := range r.URL.Query()["seconds"] {
			if n, err := strconv.ParseFloat(v, 64); err != nil || !(n >= 0 && n <= maxProfile) {
				writeText(w, http.StatusBadRequest, fmt.Sprintf("seconds must be 0 to %d, got %q\n", maxProfile, v))
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// requireLocalHost serves only requests whose Host header is an IP address or
// localhost. This prevents DNS rebinding: a web page from elsewhere could
// otherwise read a loopback address through a browser on this machine.
func requireLocalHost(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := hostName(r.Host)
		if _, err := netip.ParseAddr(host); err != nil && host != "localhost" {
			writeText(w, http.StatusMisdirectedRequest, "use an IP address or localhost as the host\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// pprofHandler serves /debug/pprof, except cmdline: the command line may contain
// the database password.
func pprofHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return refuseWebPages(limitSeconds(mux))
}

// serveTrace calls Config.Trace and writes its result as JSON.
func (s *Server) serveTrace(w http.ResponseWriter, r *http.Request) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		writeText(w, http.StatusBadRequest, "invalid query string\n")
		return
	}
	result, err := s.cfg.Trace(r.Context(), query)
	var reqErr *RequestError
	switch {
	case errors.As(err, &reqErr):
		status := http.StatusBadRequest
		if reqErr.NotFound {
			status = http.StatusNotFound
		}
		w.Header().Set(requestErrorHeader, "1")
		writeText(w, status, reqErr.Text+"\n")
		return
	case err != nil:
		s.cfg.Logger.Error("trace failed", "err", err)
		writeText(w, http.StatusInternalServerError, "trace failed; see the node's log\n")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(result); err != nil {
		s.cfg.Logger.Debug("writing the trace failed", "err", err)
	}
}

// newCounters returns the counters of a Server. name is their prefix: the
// servers of a node share a set.
func newCounters(set *metrics.Set, name string) (requests, refused *metrics.Counter) {
	return set.NewCounter(name + "_requests_total"), set.NewCounter(name + "_refused_total")
}
