package setting

import "strings"

// Redacted returns a URL without its password, for logs and errors. It works on
// invalid URLs too, which is what errors are about: everything between "//" and
// the last "@" is removed, except the user's name.
func Redacted(url string) string {
	if strings.HasPrefix(url, "sqlite:") {
		return url // a path may contain anything
	}
	scheme, rest, ok := strings.Cut(url, "://")
	if !ok {
		scheme, rest = "", url
	} else {
		scheme += "://"
	}
	at := strings.LastIndexByte(rest, '@')
	if at < 0 {
		return url
	}
	user, _, secret := strings.Cut(rest[:at], ":")
	if secret {
		user += ":…"
	}
	return scheme + user + rest[at:]
}
