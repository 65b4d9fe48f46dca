// Package web embeds the web client's files. There is no build step: browsers
// get the files as they are. README.md describes how they are organized.
package web

import "embed"

// Files has index.html and the files that it refers to, under the paths that
// it uses. It has no tests and no type declarations.
//
//go:embed index.html icon.svg app.webmanifest style/*.css app/*.js sdk/*.js
var Files embed.FS
