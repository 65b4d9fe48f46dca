package main

// act is what a user does.
type act int

const (
	actPing act = iota
	actTyping
	actChat
	actGroup
	actLeave
)

// pulse is one kind of act, and how often it comes: per second and 1000 users.
type pulse struct {
	act  act
	flag string
	per  float64
}
