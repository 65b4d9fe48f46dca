package limits

import "github.com/VictoriaMetrics/metrics"

// Kind is a limit that a client can reach.
type Kind int

// The limits. kindNames has their labels in chatd_service_limited_total.
const (
	UserFrames Kind = iota
	UserBytes
	UserAnswers
	UserMissed
	UserDay       // the quota of a day
	ToStranger    // messages to a user who has never answered
	FromStrangers // messages of strangers to one user
	BehindRefused // a message sent while an errno 9 for an earlier one waits to be sent
	Logins
	UserLogins
	PasswordWork
	Registrations
	FailedAddr
	FailedAccount
	FailedPair
	ShutOut // lockout after abuse
	FullFriends
	FullGroups
	FullMembers
	FullDevices
	FullPage
	FullLogin // the lists in a LOGIN_ACK were shortened
	kinds
)

var kindNames = [kinds]string{UserFrames: "user_frames", UserBytes: "user_bytes", UserAnswers: "user_answers", UserMissed: "user_missed", UserDay: "user_day", ToStranger: "to_stranger", FromStrangers: "from_strangers",
	BehindRefused: "behind_refused", Logins: "logins", UserLogins: "user_logins", PasswordWork: "passwords", Registrations: "registrations",
	FailedAddr: "failed_address", FailedAccount: "failed_account", FailedPair: "failed_account_and_address", ShutOut: "abuse",
	FullFriends: "friends", FullGroups: "groups", FullMembers: "members", FullDevices: "devices", FullPage: "page", FullLogin: "login_lists"}

// Metrics counts how often clients reach a limit. It is safe for concurrent use.
type Metrics struct {
	reached                                  [kinds]*metrics.Counter
	forgotUsers, forgotAddrs, forgotAccounts *metrics.Counter
}

// String returns the limit's label in the metrics.
func (k Kind) String() string { return kindNames[k] }

// NewMetrics registers the counters in set.
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

// Reached adds n to the counter of a limit.
func (m *Metrics) Reached(k Kind, n int) { m.reached[k].Add(n) }
