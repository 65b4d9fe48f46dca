package daemon

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
)

// settingGroups are the headings of --help, in its order.
var settingGroups = []struct{ key, title string }{
	{"store", "Store"},
	{"nodes", "Several nodes"},
	{"network", "Network"},
	{"buffers", "Windows and buffers"},
	{"limits", "Limits"},
	{"security", "Security"},
	{"logging", "Logging"},
	{"general", "General"},
}

const usage = `Usage:
  chatd <ip> <port> [flags]             serve, for example: chatd 127.0.0.1 6000
  chatd user passwd <id or name>        set a password, read from stdin or asked for; ends the user's sessions
  chatd user ban|unban <id or name>     end the user's sessions and refuse logins; allow them again
  chatd user delete <id or name>        delete an account; what the user said stays
  chatd trace --group ID | --pair A B, --seq N | --cid C --sender S [--user U] [--after ID] [--json]
                                        where a message is: stored, and which devices have it, or why not
  chatd epoch                           after a restore from a backup: clients forget which messages they have
  chatd migrate --from URL --to URL     take everything over from one store to another, empty one; no chatd may use either
  chatd --version | --help

The user, trace and epoch commands work on the store that --db names, while chatd runs or not.
With --admin, trace asks the chatd there, which knows who is connected.
Flags may stand before or after the rest. Each is also an environment variable and a key
of the file: flags win over the environment, that over the file, that over the default.
`

// printHelp writes all settings by group, with defaults and variables: the
// whole of it whatever command was named, as settings are the same for all.
func printHelp(_ kong.HelpOptions, ctx *kong.Context) error {
	var b strings.Builder
	b.WriteString(usage)
	for _, g := range settingGroups {
		fmt.Fprintf(&b, "\n%s:\n", g.title)
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, f := range ctx.Model.Flags {
			if groupOf(f) != g.key {
				continue
			}
			fmt.Fprintf(w, "  --%s\t%s\n", flagUsage(f), f.Help)
			var notes []string
			if f.HasDefault && f.Default != "" {
				notes = append(notes, "default "+f.Default)
			}
			if len(f.Envs) > 0 {
				notes = append(notes, f.Envs[0])
			}
			if len(notes) > 0 {
				fmt.Fprintf(w, "  \t(%s)\n", strings.Join(notes, ", "))
			}
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	_, err := io.WriteString(ctx.Stdout, b.String())
	return err
}

func groupOf(f *kong.Flag) string {
	if f.Group == nil {
		return "general"
	}
	return f.Group.Key
}

func flagUsage(f *kong.Flag) string {
	if f.IsBool() {
		return f.Name
	}
	return f.Name + " " + f.PlaceHolder
}
