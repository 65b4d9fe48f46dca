// Package audit writes the audit log: one line for each login attempt, and for each
// change of an account or a permission. It doesn't depend on the rest of the service.
package audit

import (
	"net/netip"

	"github.com/VictoriaMetrics/metrics"
)

// Action is what somebody did or tried to do.
type Action int

// The actions. Their names are in the log and in the metrics.
const (
	Start Action = iota // of a node: lines after it may have other settings
	Register
	Login
	Lockout // further attempts are refused for a while
	NewDevice
	DeviceEvicted // a user with too many devices has logged in with a new one
	Logout
	Password
	CreateGroup
	JoinGroup
	LeaveGroup
	KickMember
	DismissGroup
	// Commands of operators.
	Ban
	Unban
	Delete
	SetPassword
	NewEpoch
	Invite
	RevokeInvite
	actions
)

var actionNames = [actions]string{
	Start: "start", Register: "register", Login: "login", Lockout: "lockout", NewDevice: "new_device", DeviceEvicted: "device_evicted", Logout: "logout",
	Password: "password", CreateGroup: "create_group", JoinGroup: "join_group", LeaveGroup: "leave_group", KickMember: "kick_member",
	DismissGroup: "dismiss_group", Ban: "ban", Unban: "unban", Delete: "delete", SetPassword: "set_password", NewEpoch: "new_epoch",
	Invite: "invite", RevokeInvite: "revoke_invite",
}

// String returns the action's name in the log.
func (a Action) String() string { return actionNames[a] }

// ofGroup reports whether the action changes a group or its members.
func (a Action) ofGroup() bool {
	switch a {
	case CreateGroup, JoinGroup, LeaveGroup, KickMember, DismissGroup:
		return true
	}
	return false
}

// Outcome says how an action ended.
type Outcome int

const (
	OK      Outcome = iota
	Refused         // it wasn't allowed
	Failed          // something didn't work; whether it was done is uncertain
	outcomes
)

var outcomeNames = [outcomes]string{OK: "ok", Refused: "refused", Failed: "failed"}

// String returns the outcome's name in the log.
func (o Outcome) String() string { return outcomeNames[o] }

// Event is a line of the audit log. Fields that are zero are left out, except
// Action and Outcome. No field may contain a secret.
type Event struct {
	Action  Action
	Outcome Outcome
	Reason  string     // a word that says why it was refused, or which kind of lockout it is
	Addr    netip.Addr // of the client
	User    int64      // who did it or, for operators' commands, whom it concerns
	Name    string     // the name of User or, if User is 0, the name that the request has
	Method  string     // of a login: "password" or "token"
	Device  string
	Group   int64
	Target  int64  // the other user whom it concerns
	Detail  string // of an operator's command or a start
}

// Counters count events by action and outcome.
type Counters [actions][outcomes]*metrics.Counter

// NewCounters registers the counters in set.
func NewCounters(set *metrics.Set) *Counters {
	c := new(Counters)
	for a := range c {
		for o := range c[a] {
			c[a][o] = set.GetOrCreateCounter(`chatd_audit_events_total{action="` + actionNames[a] + `",outcome="` + outcomeNames[o] + `"}`)
		}
	}
	return c
}
