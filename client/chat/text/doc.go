// Package text makes what others wrote fit to be shown on a terminal: harmless,
// measured in columns, and broken into lines.
package text
