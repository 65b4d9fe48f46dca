// Package text prepares untrusted text for a terminal: it escapes, measures,
// cuts and wraps it.
package text
