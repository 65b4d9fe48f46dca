package report

import (
	"fmt"
	"strings"
)

// ServerInfo describes the server that was measured.
type ServerInfo struct {
	Address  string   `json:"address"` // of the first node
	Version  string   `json:"version,omitempty"`
	Nodes    int      `json:"nodes,omitempty"` // if there are several
	Store    string   `json:"store,omitempty"`
	Services []string `json:"services,omitempty"` // other started services, each with its version
	Args     []string `json:"args,omitempty"`
}

func (d ServerInfo) String() string {
	switch {
	case d.Address == "":
		return "not started"
	case d.Version == "":
		return d.Address + ", already running"
	}
	words := []string{d.Version}
	if d.Nodes > 0 {
		words = append(words, fmt.Sprint(d.Nodes, " nodes"))
	}
	words = append(append(words, d.Store), d.Services...)
	if len(d.Args) > 0 {
		words = append(words, strings.Join(d.Args, " "))
	}
	return strings.Join(words, ", ")
}
