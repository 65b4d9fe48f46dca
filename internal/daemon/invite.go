package daemon

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"chatd/model"
	"chatd/service/audit"
	"chatd/service/login"
)

// invitation is an invitation in the output of chatd invite --json.
type invitation struct {
	ID    int64  `json:"id"`
	Code  string `json:"code,omitempty"` // only when it is made: the database has only its hash
	Until string `json:"until"`          // by RFC 3339
	Uses  int64  `json:"uses"`           // in all
	Left  int64  `json:"left"`
}

func newInvitation(in model.Invite) invitation {
	return invitation{ID: in.ID, Until: time.UnixMilli(in.Expires).UTC().Format(time.RFC3339), Uses: in.Uses, Left: in.Left}
}

// invite runs the commands for invitations. record adds an event to the audit log,
// and returns its error.
func invite(ctx context.Context, inv *invocation, db *model.DB, stdout io.Writer, record func(audit.Event, error) error) error {
	switch inv.Command {
	case "invite":
		code := rand.Text() // 26 characters, 130 random bits
		in, err := db.CreateInvite(ctx, login.InviteHash(code), inv.Uses, inv.For)
		if err := record(audit.Event{Action: audit.Invite, Detail: fmt.Sprintf("invitation %d, %d uses, for %v", in.ID, inv.Uses, inv.For)}, err); err != nil {
			return err
		}
		made := newInvitation(in)
		made.Code = code
		if inv.JSON {
			return printJSON(stdout, made)
		}
		fmt.Fprintf(stdout, "%s\ninvitation %d: %d registrations until %s\n", code, in.ID, in.Uses, made.Until)
	case "invite list":
		all, err := db.Invites(ctx)
		if err != nil {
			return err
		}
		list := make([]invitation, len(all))
		for i, in := range all {
			list[i] = newInvitation(in)
		}
		if inv.JSON {
			return printJSON(stdout, list)
		}
		w := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "id\tleft\tuses\tuntil")
		for _, in := range list {
			fmt.Fprintf(w, "%d\t%d\t%d\t%s\n", in.ID, in.Left, in.Uses, in.Until)
		}
		return w.Flush()
	case "invite revoke":
		err := record(audit.Event{Action: audit.RevokeInvite, Detail: fmt.Sprintf("invitation %d", inv.Invite)}, db.RevokeInvite(ctx, inv.Invite))
		if errors.Is(err, model.ErrNoInvite) {
			return fmt.Errorf("no invitation %d can be used; chatd invite list shows those that can", inv.Invite)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "invitation %d is revoked\n", inv.Invite)
	}
	return nil
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
