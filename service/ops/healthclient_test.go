package ops

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// FetchHealth tells a ready node from one that isn't, from other servers, and from
// none. It doesn't follow redirects.
func TestFetchHealth(t *testing.T) {
	ready := true
	s := New(Config{HTTP: "127.0.0.1:0", Ready: func() bool { return ready }})
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	defer s.Close(t.Context())
	elsewhere := httptest.NewServer(http.RedirectHandler("http://"+s.Addr().String()+"/readyz", http.StatusFound))
	defer elsewhere.Close()
	url := HealthURL(s.Addr().String())
	if line, err := FetchHealth(t.Context(), url); line != "ok" || err != nil {
		t.Errorf("FetchHealth of a ready node = %q, %v; want \"ok\"", line, err)
	}
	ready = false
	for name, c := range map[string]struct{ url, want string }{
		"a draining node":     {url, "503 Service Unavailable: not ready: starting or draining"},
		"a redirect":          {elsewhere.URL, "302"},
		"no such page":        {strings.TrimSuffix(url, "readyz") + "none", "404"},
		"nothing listens":     {"http://127.0.0.1:1/readyz", "connection refused"},
		"not a URL":           {"127.0.0.1:8080", "is not a URL such as http://"},
		"a URL without host":  {"http:///readyz", "is not a URL such as http://"},
		"another scheme":      {"ftp://127.0.0.1/readyz", "is not a URL such as http://"},
		"a password in a URL": {"http://me:hunter2@127.0.0.1:1/", "me:xxxxx@"},
	} {
		if line, err := FetchHealth(t.Context(), c.url); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: FetchHealth = %q, %v; want an error with %q and no password", name, line, err, c.want)
		}
	}
}

// The default URL of chatd health leads to this machine, whatever --http listens on.
func TestHealthURL(t *testing.T) {
	for addr, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080/readyz",
		"0.0.0.0:8080":   "http://127.0.0.1:8080/readyz",
		":8080":          "http://127.0.0.1:8080/readyz",
		"[::]:8080":      "http://[::1]:8080/readyz",
		"[::1]:8080":     "http://[::1]:8080/readyz",
		"localhost:8080": "http://localhost:8080/readyz",
		"10.0.0.1:8080":  "http://10.0.0.1:8080/readyz",
	} {
		if got := HealthURL(addr); got != want {
			t.Errorf("HealthURL(%q) = %q, want %q", addr, got, want)
		}
	}
}
