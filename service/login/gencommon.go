//go:build ignore

// Gencommon downloads an npm package with a list of common passwords, and writes
// common/passwords.txt.gz and the list's licence. It needs npm. To use a newer
// list, change the version.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	source   = "@zxcvbn-ts/language-common@4.1.3"
	minChars = 6 // proto.MinPasswordChars: shorter ones are refused anyway
)

func main() {
	if err := generate(); err != nil {
		slog.Error("generating the list of common passwords failed", "err", err)
		os.Exit(1)
	}
}

func generate() error {
	dir, err := os.MkdirTemp("", "common")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pack := exec.Command("npm", "pack", source)
	pack.Dir, pack.Stderr = dir, os.Stderr
	if err := pack.Run(); err != nil {
		return err
	}
	packed, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(packed) != 1 {
		return errors.Join(errors.New("npm pack made no file"), err)
	}
	f, err := os.Open(packed[0])
	if err != nil {
		return err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return err
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		switch h.Name {
		case "package/LICENSE.txt":
			text, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			text = append([]byte("passwords.txt.gz is made from "+source+", which has this licence:\n\n"), text...)
			if err := os.WriteFile("common/LICENSE.txt", text, 0o644); err != nil {
				return err
			}
		case "package/src/passwords.json":
			var list []string
			if err := json.NewDecoder(r).Decode(&list); err != nil {
				return err
			}
			if err := write(list); err != nil {
				return err
			}
		}
	}
}

func write(list []string) error {
	for i, p := range list {
		list[i] = strings.ToLower(p)
	}
	list = slices.DeleteFunc(list, func(p string) bool { return utf8.RuneCountInString(p) < minChars || strings.Contains(p, "\n") })
	slices.Sort(list)
	list = slices.Compact(list)
	var b bytes.Buffer
	z, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := io.WriteString(z, strings.Join(list, "\n")+"\n"); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile("common/passwords.txt.gz", b.Bytes(), 0o644)
}
