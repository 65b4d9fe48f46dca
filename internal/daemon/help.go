package daemon

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kong"
)

// settingGroups are the headings of the help, in its order.
var settingGroups = []struct{ key, title string }{
	{"store", "Database"},
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
  chatd user passwd <id or name>        set a password (asks for it, or reads stdin) and end the user's sessions
  chatd user ban|unban <id or name>     end the user's sessions and refuse logins; allow them again
  chatd user delete <id or name>        delete an account; the user's messages stay
  chatd user clashes                    list names that look alike, or like a reserved name
  chatd invite [--uses N] [--for TIME] [--json]
                                        make a code with which somebody can register, for --registration invite
  chatd invite list [--json] | revoke ID
                                        list the codes that can be used; end one
  chatd trace --group ID | --pair A B, --seq N | --cid C --sender S [--user U] [--after ID] [--json]
                                        show whether a message is stored, and which devices have it, or why not
  chatd backup FILE                     copy the SQLite database to a new file, whether chatd is running or not
  chatd epoch                           run after restoring a backup: logs out all devices
  chatd migrate --from URL --to URL     copy everything to an empty database; no chatd may use either of them
  chatd health [URL]                    ask a running chatd whether it accepts connections; exit code 0: yes, 1: no
  chatd --version | --help | --help-all

The user, invite, trace, backup and epoch commands work on the database --db, whether chatd is running or not.
With --admin, trace asks the running chatd at that address, which knows who is connected.
Flags may come before or after the other arguments. Each setting is also an environment
variable and a key of the --config file. Flags override the environment, which overrides the
file, which overrides the default.
`

// isCommon reports whether --help shows a flag, and not only --help-all.
func isCommon(f *kong.Flag) bool { return len(f.Envs) == 0 || f.Tag.Has("common") }

// printCommonHelp writes the commands and the most used settings. It is the
// same for every command, because the settings are.
func printCommonHelp(_ kong.HelpOptions, ctx *kong.Context) error {
	settings := 0
	for _, f := range ctx.Model.Flags {
		if len(f.Envs) > 0 {
			settings++
		}
	}
	return printHelp(ctx, isCommon, fmt.Sprintf("\nThese are the most used settings. chatd --help-all lists all %d.\n", settings))
}

type helpAll bool

// BeforeReset prints the help as soon as kong has seen the flag, like kong
// itself does for --help.
func (helpAll) BeforeReset(ctx *kong.Context) error {
	if err := printHelp(ctx, func(*kong.Flag) bool { return true }, ""); err != nil {
		return err
	}
	ctx.Exit(exitDone)
	return nil
}

// printHelp writes the commands and the flags that show accepts, by group, with
// defaults and environment variables.
func printHelp(ctx *kong.Context, show func(*kong.Flag) bool, last string) error {
	var b strings.Builder
	b.WriteString(usage)
	for _, g := range settingGroups {
		var rows strings.Builder
		w := tabwriter.NewWriter(&rows, 0, 0, 2, ' ', 0)
		for _, f := range ctx.Model.Flags {
			if groupOf(f) != g.key || !show(f) {
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
		if rows.Len() > 0 {
			fmt.Fprintf(&b, "\n%s:\n%s", g.title, rows.String())
		}
	}
	b.WriteString(last)
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
