package daemon

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"syscall"

	"github.com/VictoriaMetrics/metrics"

	"chatd/service/audit"
)

// Values of --audit-log that aren't a file.
const (
	auditStdout = "-"
	auditOff    = "off"
)

// openAudit opens the audit log of a node. stdout is where it goes if --audit-log is
// "-".
func openAudit(cfg *Config, stdout io.Writer, log *slog.Logger, set *metrics.Set) (*audit.Log, error) {
	o := audit.Options{Handler: auditHandler(cfg.LogFormat), Set: set, Logger: log}
	switch cfg.AuditLog {
	case auditOff:
	case auditStdout:
		o.Out = ownDescriptor(stdout)
	default:
		o.File = cfg.AuditLog
	}
	au, err := audit.Open(o)
	if err != nil {
		return nil, fmt.Errorf("--audit-log: %w", err)
	}
	return au, nil
}

// openOperatorAudit opens the audit log for an operator command. If the log isn't a
// file, the command doesn't write it: nobody collects its output.
func openOperatorAudit(inv *invocation, stderr io.Writer) (*audit.Log, error) {
	cfg := inv.Config
	if cfg.AuditLog == auditStdout {
		cfg.AuditLog = auditOff
	}
	return openAudit(&cfg, nil, newLogger(stderr, cfg.LogLevel, cfg.LogFormat), metrics.NewSet())
}

// auditHandler returns the handler for the lines of the audit log, which are as safe
// as those of newLogger.
func auditHandler(format string) func(io.Writer, *slog.HandlerOptions) slog.Handler {
	return func(w io.Writer, o *slog.HandlerOptions) slog.Handler {
		if format == "json" {
			return slog.NewJSONHandler(printable{w}, o)
		}
		return slog.NewTextHandler(w, o)
	}
}

// ownDescriptor returns stdout with a descriptor of its own: if the reader of
// descriptor 1 goes away, a write to it ends the process, but a write to another
// descriptor fails.
func ownDescriptor(w io.Writer) io.Writer {
	f, ok := w.(*os.File)
	if !ok {
		return w
	}
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return w
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), f.Name())
}
