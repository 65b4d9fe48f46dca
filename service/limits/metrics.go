package limits

import "github.com/VictoriaMetrics/metrics"

// Kind is a limit that a client can reach.
type Kind int

// The limits, as chatd_service_limited_total names them.
const (
	UserFrames Kind = iota
	UserBytes
	BehindRefused // sent while an earlier refusal still waits to be sent
	Logins
	PasswordWork
	FailedAddr
	FailedAccount
	ShutOut // for abuse
	FullFriends
	FullGroups
	FullMembers
	FullDevices
	FullPage
	kinds
)

var kindNames = [kinds]string{UserFrames: "user_frames", UserBytes: "user_bytes", BehindRefused: "behind_refused", Logins: "logins", PasswordWork: "passwords",
	FailedAddr: "failed_address", FailedAccount: "failed_account", ShutOut: "abuse",
	FullFriends: "friends", FullGroups: "groups", FullMembers: "members", FullDevices: "devices", FullPage: "page"}

// Metrics counts the limits that clients reach. Any goroutine may use it.
type Metrics struct {
	reached                                  [kinds]*metrics.Counter
	forgotUsers, forgotAddrs, forgotAccounts *metrics.Counter
}

// NewMetrics adds the counters to a set.
func NewMetrics(set *metrics.Set) *Metrics {
	m := &Metrics{
		forgotUsers:    set.NewCounter(`chatd_service_limits_forgotten_total{of="users"}`),
		forgotAddrs:    set.NewCounter(`chatd_service_limits_forgotten_total{of="addresses"}`),
		forgotAccounts: set.NewCounter(`chatd_service_limits_forgotten_total{of="accounts"}`),
	}
	for k := range m.reached {
		m.reached[k] = set.NewCounter(`chatd_service_limited_total{limit="` + kindNames[k] + `"}`)
	}
	return m
}

// Reached counts n times that a limit was reached.
func (m *Metrics) Reached(k Kind, n int) { m.reached[k].Add(n) }
