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

// maxClient is how much the web client may be in bytes that a browser reads,
// with its SDK: a page that is there at once is a promise.
const maxClient = 150 << 10

// languages are files of which a browser reads one.
var languages = []string{"/app/english.js", "/app/chinese.js"}

// refers finds what a file of the web client makes a browser ask for.
var refers = regexp.MustCompile(`(?m)(?:\bfrom |\bimport |\bimport\(|src[=:] ?|href=|\burl\(|"start_url": |"src": |fetch\()['"]([^'"#]+)['"]|'(\./[\w-]+\.js)'`)

// All that the page makes a browser ask for is served, as what it is, with
// headers that let it run there and nowhere else; and no file is served that
// nothing asks for. Together they stay small.
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
			t.Errorf("%s: %d, %q", at, resp.StatusCode, resp.Header.Get("Content-Type"))
			continue
		}
		if got := resp.Header.Get("Cache-Control"); got != "no-cache" {
			t.Errorf("%s: Cache-Control %q: an upgrade would be seen late", at, got)
		}
		switch {
		case slices.Contains(languages, at):
			language = max(language, len(body))
		case at != "/config.json":
			size += len(body)
		}
		for _, m := range refers.FindAllStringSubmatch(body, -1) {
			base, err := url.Parse("http://here" + at)
			if err != nil {
				t.Fatal(err)
			}
			to, err := base.Parse(m[1] + m[2])
			if err != nil || to.Host != "here" {
				t.Errorf("%s refers to %s%s, which is elsewhere", at, m[1], m[2])
				continue
			}
			if !seen[to.Path] {
				seen[to.Path] = true
				todo = append(todo, to.Path)
			}
		}
	}
	// A browser that finds modules by the imports of others finds the last of
	// them late. The languages are fetched by who speaks them.
	_, page := get(t, n.url+"/")
	for served := range clientFiles() {
		if path.Ext(served) == ".js" && !slices.Contains(languages, served) && !strings.Contains(page, "=\""+served+"\"") {
			t.Errorf("the page doesn't preload %s", served)
		}
		if served != "/favicon.ico" && !seen[served] {
			t.Errorf("%s is served, and nothing asks for it", served)
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d files were found to be asked for: %v", len(seen), seen)
	}
	if size += language; size > maxClient {
		t.Errorf("the web client has %d bytes, and may have %d", size, maxClient)
	}
	t.Logf("%d files, %d bytes", len(seen), size)
}

// A browser that has a file is told so without being sent it again, and one
// that takes gzip gets the same in less.
func TestWebClientCached(t *testing.T) {
	n := start(t)
	ask := func(path, encoding, tag string) (*http.Response, string) {
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
		plain, body := ask(path, "identity", "")
		packed, same := ask(path, "gzip", "")
		if packed.Header.Get("Content-Encoding") != "gzip" || plain.Header.Get("Content-Encoding") != "" || body != same || body == "" {
			t.Errorf("%s: %q packed, %q plain, the same: %v", path, packed.Header.Get("Content-Encoding"), plain.Header.Get("Content-Encoding"), body == same)
		}
		for encoding, tag := range map[string]string{"identity": plain.Header.Get("ETag"), "gzip": packed.Header.Get("ETag")} {
			if other := tags[tag]; tag == "" || other != "" {
				t.Errorf("%s %s: the tag %q is that of %q", path, encoding, tag, other)
			}
			tags[tag] = path + " " + encoding
			if again, body := ask(path, encoding, tag); again.StatusCode != 304 || body != "" {
				t.Errorf("%s %s, asked for again: %d", path, encoding, again.StatusCode)
			}
			if other, body := ask(path, encoding, `"of another release"`); other.StatusCode != 200 || body == "" {
				t.Errorf("%s %s of another release: %d", path, encoding, other.StatusCode)
			}
		}
	}
}

// What is left out of a script is what has no meaning: text that looks like a
// comment stays, and so do the lines, which may end a statement.
func TestLean(t *testing.T) {
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
	if got := string(lean([]byte(source))); got != want {
		t.Errorf("got %q", got)
	}
}
