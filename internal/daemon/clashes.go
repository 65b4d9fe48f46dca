package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"chatd/internal/names"
	"chatd/model"
)

// clash is a line of the answer to "user clashes --json".
type clash struct {
	Reserved string      `json:"reserved,omitempty"` // the reserved name that the users' names look like
	Users    []clashUser `json:"users"`
}

type clashUser struct {
	ID     int64  `json:"id"`
	Name   string `json:"name"`
	Banned bool   `json:"banned,omitempty"`
}

// listClashes prints the users whose names look alike or like a reserved name:
// for each clash a paragraph, or with asJSON a line with a JSON object.
func listClashes(ctx context.Context, db *model.DB, reserved []string, asJSON bool, out io.Writer) error {
	if err := db.UpdateLooks(ctx, 0); err != nil {
		return err
	}
	all, err := db.Clashes(ctx, reserved)
	if err != nil {
		return err
	}
	if asJSON {
		lines := json.NewEncoder(out)
		for _, c := range all {
			line := clash{Reserved: c.Reserved}
			for _, u := range c.Users {
				line.Users = append(line.Users, clashUser{u.ID, u.Name, u.Banned})
			}
			if err := lines.Encode(line); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		fmt.Fprintln(out, "no names of users look alike")
	}
	for i, c := range all {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if c.Reserved == "" {
			fmt.Fprintln(out, "these names look alike:")
		} else {
			fmt.Fprintf(out, "these names look like the reserved name %s:\n", names.Quote(c.Reserved))
		}
		for _, u := range c.Users {
			banned := ""
			if u.Banned {
				banned = ", banned"
			}
			fmt.Fprintf(out, "  user %d %s%s\n", u.ID, names.Quote(u.Name), banned)
		}
	}
	return nil
}
