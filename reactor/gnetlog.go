package reactor

import (
	"fmt"
	"log/slog"
)

// gnetLog makes what gnet has to say part of our log: its errors. It warns of
// events for connections that were closed in the same round, which is as it
// should be when one closes many.
type gnetLog struct{ log *slog.Logger }

func (g gnetLog) Debugf(format string, args ...any) {}
func (g gnetLog) Infof(format string, args ...any)  {}
func (g gnetLog) Warnf(format string, args ...any)  {}
func (g gnetLog) Errorf(format string, args ...any) {
	g.log.Error("gnet: " + fmt.Sprintf(format, args...))
}
func (g gnetLog) Fatalf(format string, args ...any) { g.Errorf(format, args...) }
