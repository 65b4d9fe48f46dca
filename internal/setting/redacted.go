package setting

import "strings"

// Redacted returns a URL for logs and errors: without the password. It works
// on invalid URLs as well, which an error message is most likely to be about:
// everything between "//" and the last "@" is removed, except the user's name.
func Redacted(url string) string {
	if strings.HasPrefix(url, "sqlite:") {
		return url // a path, whatever is in it
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
