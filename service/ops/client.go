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

// types are the files of the web client by how their names end: what a system
// has in its own table must not decide whether a browser runs a module.
var types = map[string]string{
	".html":        "text/html; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".svg":         "image/svg+xml",
	".webmanifest": "application/manifest+json",
}

// file is one of the web client's, in the two forms it is sent in. Its tags
// are of its contents: what a browser has is taken for good until the daemon
// is another one, and not a moment longer.
type file struct {
	kind          string
	plain, packed []byte
	tag           string
}

// clientFiles reads the web client, by the paths it is asked for by. It panics
// where what was embedded makes no sense, as the tests would.
func clientFiles() map[string]*file {
	files := make(map[string]*file)
	err := fs.WalkDir(web.Files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		kind, known := types[path.Ext(name)]
		if !known {
			return fmt.Errorf("web client: nobody has said what kind of file %s is", name)
		}
		f := &file{kind: kind}
		if f.plain, err = fs.ReadFile(web.Files, name); err != nil {
			return err
		}
		switch path.Ext(name) {
		case ".js":
			f.plain = lean(f.plain)
		case ".css":
			f.plain = []byte(tight.Replace(string(lean(f.plain))))
		}
		var packed bytes.Buffer
		z := gzip.NewWriter(&packed)
		if _, err := z.Write(f.plain); err != nil {
			return err
		}
		if err := z.Close(); err != nil {
			return err
		}
		f.packed = packed.Bytes()
		sum := sha256.Sum256(f.plain)
		f.tag = base64.RawURLEncoding.EncodeToString(sum[:12])
		files["/"+name] = f
		return nil
	})
	if err != nil {
		panic(err)
	}
	files["/"] = files["/index.html"]
	delete(files, "/index.html")
	files["/favicon.ico"] = files["/icon.svg"] // for pages that name no icon
	return files
}

// tight leaves blanks out of a style sheet where they part nothing.
var tight = strings.NewReplacer(": ", ":", "; ", ";", ", ", ",", " { ", "{", " {", "{", "; }", "}", " }", "}")

// lean leaves out of a script or a style sheet what is for its readers alone:
// comments, indentation and empty lines. It goes by lines, as the files of the
// web client are written: a comment has its lines to itself or ends one, and
// no string goes over several. What has a quote behind its slashes may be in a
// string, and stays.
func lean(source []byte) []byte {
	var out []byte
	comment := false
	for line := range strings.Lines(string(source)) {
		line = strings.TrimSpace(line)
		if comment || strings.HasPrefix(line, "/*") {
			comment = !strings.Contains(line, "*/")
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

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, body := w.Header(), f.plain
	h.Set("Content-Type", f.kind)
	h.Set("Vary", "Accept-Encoding")
	h.Set("ETag", `"`+f.tag+`"`)
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		h.Set("ETag", `"`+f.tag+`.gz"`)
		body = f.packed
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
