// Package web is the web client: the files that a browser gets, as they are.
// There is no build step. What they are made of is in README.md beside this file.
package web

import "embed"

// Files holds index.html and all that it refers to, by the paths that it
// refers to them by. Tests and types aren't in it.
//
//go:embed index.html icon.svg app.webmanifest style/*.css app/*.js sdk/*.js
var Files embed.FS
