package realservice

import (
	"context"
	"testing"

	"chatd/internal/services"
)

// NginxServer is an nginx of a test's own.
type NginxServer struct {
	Folder string // its prefix: relative paths of the configuration begin here

	server Server
	nginx  *services.Nginx
}

// Nginx starts nginx with the text of a configuration, in the foreground and
// with its files in a folder of its own. The module for `stream` is loaded
// where the text uses it and doesn't load it. The text must not say where the
// process id is kept.
func Nginx(t testing.TB, conf string) *NginxServer {
	t.Helper()
	n := &NginxServer{}
	n.server = launch(t, func(f *services.Folder) (*services.Service, error) {
		var err error
		if n.nginx, err = services.NewNginx(context.Background(), f, conf); err != nil {
			return nil, err
		}
		return n.nginx.Service, nil
	})
	t.Cleanup(func() { n.server.close(t) })
	n.Folder = n.nginx.Folder
	return n
}

// Reload has nginx go over to another configuration without dropping a
// connection, and returns when a worker works by it.
func (n *NginxServer) Reload(t testing.TB, conf string) {
	t.Helper()
	requireNoError(t, n.nginx.Reload(context.Background(), conf))
}

// Log returns the end of what nginx has written to its error log.
func (n *NginxServer) Log() string { return n.nginx.Log() }

// Stop ends nginx and its connections at once.
func (n *NginxServer) Stop(t testing.TB) {
	t.Helper()
	if err := n.nginx.Close(); err != nil {
		t.Error(err)
	}
}
