//go:build ignore

// gen writes tables.txt from the files confusables.txt, IdentifierType.txt and
// ScriptExtensions.txt of one version of Unicode, and PropertyValueAliases.txt.
//
//	go run gen.go FOLDER
//
// The first two files are in https://www.unicode.org/Public/security/VERSION, the
// others in https://www.unicode.org/Public/VERSION/ucd. A new version of the tables
// also needs a new LookVersion.
package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// header is the beginning of tables.txt.
const header = `# Unicode %s
# Written by gen.go from files of the Unicode Character Database and UTS 39.
# Copyright © 1991-2025 Unicode, Inc. License: https://www.unicode.org/license.txt
# C: a character and what it looks like. R: characters that names don't need
# (Identifier_Type Technical, Obsolete or Deprecated). S: the scripts of characters
# that more than one script uses. All numbers are hexadecimal.
`

var version = regexp.MustCompile(`(?m)^# (?:Version: |ScriptExtensions-)([0-9.]+[0-9])`)

func main() {
	if len(os.Args) != 2 {
		fail("usage: go run gen.go FOLDER")
	}
	unicode := ""
	rows := func(name string, checked bool) (all [][]string) {
		data, err := os.ReadFile(filepath.Join(os.Args[1], name))
		if err != nil {
			fail("%v", err)
		}
		if m := version.FindSubmatch(data); checked && (m == nil || unicode != "" && unicode != string(m[1])) {
			fail("%s has version %q, the files before it have %q: use files of one version", name, m, unicode)
		} else if checked {
			unicode = string(m[1])
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		for lines.Scan() {
			line, _, _ := strings.Cut(strings.TrimPrefix(lines.Text(), "\ufeff"), "#")
			if strings.TrimSpace(line) == "" {
				continue
			}
			columns := strings.Split(line, ";")
			for i := range columns {
				columns[i] = strings.TrimSpace(columns[i])
			}
			all = append(all, columns)
		}
		return all
	}
	var out bytes.Buffer
	for _, c := range rows("confusables.txt", true) {
		fmt.Fprintf(&out, "C %s %s\n", c[0], c[1])
	}
	for _, c := range rows("IdentifierType.txt", true) {
		for _, kind := range strings.Fields(c[1]) {
			if kind == "Technical" || kind == "Obsolete" || kind == "Deprecated" {
				fmt.Fprintf(&out, "R %s\n", c[0])
				break
			}
		}
	}
	long := map[string]string{}
	for _, c := range rows("PropertyValueAliases.txt", false) {
		if c[0] == "sc" {
			long[c[1]] = c[2]
		}
	}
	for _, c := range rows("ScriptExtensions.txt", true) {
		scripts := strings.Fields(c[1])
		for i, s := range scripts {
			if long[s] != "" {
				scripts[i] = long[s]
			}
		}
		fmt.Fprintf(&out, "S %s %s\n", c[0], strings.Join(scripts, " "))
	}
	if err := os.WriteFile("tables.txt", append(fmt.Appendf(nil, header, unicode), out.Bytes()...), 0o644); err != nil {
		fail("%v", err)
	}
}

func fail(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
	os.Exit(1)
}
