package ops

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxClient is the most bytes of the web client and its SDK, uncompressed, that
// a browser may load, so that the page opens quickly.
const maxClient = 153 << 10

// languages lists the files of which a browser loads only one.
var languages = []string{"/app/english.js", "/app/chinese.js"}

// references matches the URLs in a file of the web client that a browser loads.
var references = regexp.MustCompile(`(?m)(?:\bfrom |\bimport |\bimport\(|src[=:] ?|href=|\burl\(|"start_url": |"src": |fetch\()['"]([^'"#]+)['"]|'(\./[\w-]+\.js)'`)

// All files that the page refers to are served with the right headers, no other
// files are, and together they are at most maxClient bytes.
func TestWebClient(t *testing.T) {
	n := start(t)
	kinds := map[string]string{"": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
		".svg": "image/svg+xml", ".webmanifest": "application/manifest+json", ".json": "application/json"}
	size, language, seen, todo := 0, 0, map[string]bool{"/": true}, []string{"/"}
	for len(todo) > 0 {
		at := todo[0]
		todo = todo[1:]
		resp, body := do(t, "GET", n.url+at, "")
		if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != kinds[path.Ext(at)] {
			t.Errorf("%s: %d, %q; want 200 and %q", at, resp.StatusCode, resp.Header.Get("Content-Type"), kinds[path.Ext(at)])
			continue
		}
		if got := resp.Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s: Cache-Control %q, want no-cache: browsers must see an upgrade at once", at, got)
		}
		switch {
		case slices.Contains(languages, at):
			language = max(language, len(body))
		case at != "/config.json":
			size += len(body)
		}
		for _, m := range references.FindAllStringSubmatch(body, -1) {
			base, err := url.Parse("http://here" + at)
			if err != nil {
				t.Fatal(err)
			}
			to, err := base.Parse(m[1] + m[2])
			if err != nil || to.Host != "here" {
				t.Errorf("%s refers to %s%s, want only references to this server", at, m[1], m[2])
				continue
			}
			if !seen[to.Path] {
				seen[to.Path] = true
				todo = append(todo, to.Path)
			}
		}
	}
	// The page preloads all modules, because a browser would otherwise find them
	// only one import after another. It loads one language later.
	_, page := get(t, n.url+"/")
	for served := range loadAssets() {
		if path.Ext(served) == ".js" && !slices.Contains(languages, served) && !strings.Contains(page, "=\""+served+"\"") {
			t.Errorf("the page doesn't preload %s", served)
		}
		if served != "/favicon.ico" && !seen[served] {
			t.Errorf("%s is served, but no file refers to it", served)
		}
	}
	if len(seen) < 40 {
		t.Errorf("found references to %d files, want at least 40: %v", len(seen), seen)
	}
	if size += language; size > maxClient {
		t.Errorf("the web client has %d bytes, want at most %d", size, maxClient)
	}
	t.Logf("%d files, %d bytes", len(seen), size)
}

// A request with the current ETag gets a 304, and one that accepts gzip gets the
// same content compressed.
func TestWebClientCached(t *testing.T) {
	n := start(t)
	fetch := func(path, encoding, tag string) (*http.Response, string) {
		req, err := http.NewRequest("GET", n.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", encoding)
		if tag != "" {
			req.Header.Set("If-None-Match", tag)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		var from io.Reader = resp.Body
		if resp.Header.Get("Content-Encoding") == "gzip" {
			if from, err = gzip.NewReader(resp.Body); err != nil {
				t.Fatal(err)
			}
		}
		body, err := io.ReadAll(from)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(body)
	}
	tags := map[string]string{}
	for _, path := range []string{"/", "/app/main.js", "/style/base.css", "/icon.svg"} {
		plain, body := fetch(path, "identity", "")
		gzipped, same := fetch(path, "gzip", "")
		if gzipped.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" || body != same || body == "" {
			t.Errorf("%s: encodings %q and %q, same content: %v; want gzip, none and true", path, gzipped.Header.Get("Content-Encoding"), plain.Header.Get("Content-Encoding"), body == same)
		}
		for encoding, tag := range map[string]string{"identity": plain.Header.Get("ETag"), "gzip": gzipped.Header.Get("ETag")} {
			if other := tags[tag]; tag == "" || other != "" {
				t.Errorf("%s %s: the ETag %q is empty or also that of %q", path, encoding, tag, other)
			}
			tags[tag] = path + " " + encoding
			if again, body := fetch(path, encoding, tag); again.StatusCode != 304 || body != "" {
				t.Errorf("%s %s with its ETag: %d, want 304 without a body", path, encoding, again.StatusCode)
			}
			if other, body := fetch(path, encoding, `"of another release"`); other.StatusCode != 200 || body == "" {
				t.Errorf("%s %s with another ETag: %d, want 200 with a body", path, encoding, other.StatusCode)
			}
		}
	}
}

// stripComments removes only comments and indentation. Strings that look like
// comments stay, and so do line ends, which may end a statement.
func TestStripComments(t *testing.T) {
	const source = `// A file.

/** What it does.
 *  And more. */
export const a = 'http://x // y';  // why
  const b = 1 // as it was
const c = "//"
/* one line */
const d = a // 'quoted'
`
	const want = "export const a = 'http://x // y';\nconst b = 1\nconst c = \"//\"\nconst d = a // 'quoted'\n"
	if got := string(stripComments([]byte(source))); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
