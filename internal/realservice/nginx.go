package realservice

import (
	"context"
	"testing"

	"chatd/internal/services"
)

// NginxServer is an nginx for one test.
type NginxServer struct {
	Folder string // relative paths in the configuration start here

	server Server
	nginx  *services.Nginx
}

// Nginx starts an nginx with this configuration, in the foreground, with its
// files in a temporary directory. If the configuration uses `stream` and doesn't
// load its module, the module is loaded. The configuration must not set `pid`.
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

// Reload switches nginx to another configuration without dropping connections.
// It returns when a worker uses the new one.
func (n *NginxServer) Reload(t testing.TB, conf string) {
	t.Helper()
	requireNoError(t, n.nginx.Reload(context.Background(), conf))
}

// Log returns the end of nginx's error log.
func (n *NginxServer) Log() string { return n.nginx.Log() }

// Stop kills nginx, which closes its connections.
func (n *NginxServer) Stop(t testing.TB) {
	t.Helper()
	if err := n.nginx.Close(); err != nil {
		t.Error(err)
	}
}
