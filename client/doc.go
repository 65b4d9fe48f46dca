// Package client is the Go SDK of chatd: it speaks the protocol of
// docs/protocol.md over TCP and keeps its promises on the client's side.
//
// A Client logs in once and from then on stays logged in: it reconnects by
// itself, sends again what was not acknowledged (with the same cid, so that
// nothing is stored twice), fills the holes in what it received, drops what
// it has seen, and tells the server with receipts how far it has come. What
// is left to the application are the handlers, called from one goroutine:
// each message once, and those of a conversation in order.
//
// All methods of Client may be called from any goroutine. Those that take a
// context wait for the server's answer; the others never block.
//
// A refusal of the server is a *proto.Error, found with errors.As.
package client
