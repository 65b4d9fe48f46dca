package reactor

import (
	"fmt"
	"log/slog"
)

// gnetLog writes gnet's errors to the reactor's log. It drops warnings: gnet warns
// about events for connections that were closed in the same poll, which is normal
// when many connections close.
type gnetLog struct{ log *slog.Logger }

func (g gnetLog) Debugf(format string, args ...any) {}
func (g gnetLog) Infof(format string, args ...any)  {}
func (g gnetLog) Warnf(format string, args ...any)  {}
func (g gnetLog) Errorf(format string, args ...any) {
	g.log.Error("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLog) Fatalf(format string, args ...any) { g.Errorf(format, args...) }
