package ops

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"time"

	"chatd/client/web"
)

// contentTypes maps file extensions to content types. The tables of package mime
// depend on the system, and browsers run modules only with the right type.
var contentTypes = map[string]string{
	".html":        "text/html; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".svg":         "image/svg+xml",
	".webmanifest": "application/manifest+json",
}

// asset is a file of the web client, minified, with and without compression. The
// ETag is a hash of the contents, so that browsers reuse a file exactly until it
// changes.
type asset struct {
	contentType    string
	plain, gzipped []byte
	etag           string // without quotes
}

// loadAssets returns the files of the web client by URL path. It panics if an
// embedded file has an unknown type, which the tests find.
func loadAssets() map[string]*asset {
	assets := make(map[string]*asset)
	err := fs.WalkDir(web.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		contentType, known := contentTypes[path.Ext(name)]
		if !known {
			return fmt.Errorf("web client: the content type of %s is unknown; add it to contentTypes", name)
		}
		a := &asset{contentType: contentType}
		if a.plain, err = fs.ReadFile(web.Files, name); err != nil {
			return err
		}
		switch path.Ext(name) {
		case ".js":
			a.plain = joinLines(stripComments(a.plain))
		case ".css":
			a.plain = []byte(cssSpaces.Replace(string(stripComments(a.plain))))
		}
		var gzipped bytes.Buffer
		z := gzip.NewWriter(&gzipped)
		if _, err := z.Write(a.plain); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		a.gzipped = gzipped.Bytes()
		sum := sha256.Sum256(a.plain)
		a.etag = base64.RawURLEncoding.EncodeToString(sum[:12])
		assets["/"+name] = a
		return nil
	})
	if err != nil {
		panic(err)
	}
	assets["/"] = assets["/index.html"]
	delete(assets, "/index.html")
	assets["/favicon.ico"] = assets["/icon.svg"] // for pages without an icon link
	return assets
}

// cssSpaces removes spaces, newlines and semicolons from a style sheet that have no
// meaning.
var cssSpaces = strings.NewReplacer("; }\n", "}", "}\n", "}", "; }", "}", " }", "}", ": ", ":", "; ", ";", ", ", ",", " { ", "{", " {\n", "{", " {", "{", " > ", ">")

// stripComments removes comments, indentation and empty lines from a script or
// style sheet. It works line by line, and relies on how the web client is
// written: a comment has lines of its own or is at the end of a line, and no
// string spans lines. A comment with a quote in it stays, because it may be part
// of a string.
func stripComments(source []byte) []byte {
	var out []byte
	inComment := false
	for line := range strings.Lines(string(source)) {
		line = strings.TrimSpace(line)
		if inComment || strings.HasPrefix(line, "/*") {
			inComment = !strings.Contains(line, "*/")
			continue
		}
		if strings.HasPrefix(line, "//") {
			continue
		}
		if i := strings.LastIndex(line, " // "); i >= 0 && !strings.ContainsAny(line[i:], "'\"`") {
			line = strings.TrimRight(line[:i], " ")
		}
		if line != "" {
			out = append(append(out, line...), '\n')
		}
	}
	return out
}

// joinLines removes line breaks of a script, without comments, that have no meaning:
// those after ";", "," and an opening bracket. It relies on how the web client is
// written: no string spans lines. A line with "//" keeps its break, because it may
// still have a comment.
func joinLines(script []byte) []byte {
	var out []byte
	for line := range bytes.Lines(script) {
		text := bytes.TrimSuffix(line, []byte("\n"))
		if !bytes.HasSuffix(line, []byte("\n")) || bytes.Contains(text, []byte("//")) || !bytes.ContainsAny(text[max(0, len(text)-1):], ";,{([") {
			text = line
		}
		out = append(out, text...)
	}
	return out
}

// ServeHTTP serves the file, compressed if the browser accepts gzip.
func (a *asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, body := w.Header(), a.plain
	h.Set("Content-Type", a.contentType)
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", `"`+a.etag+`"`)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", `"`+a.etag+`.gz"`)
		body = a.gzipped
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
