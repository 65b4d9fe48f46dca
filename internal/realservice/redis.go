package realservice

import (
	"context"
	"testing"

	"chatd/internal/services"
)

// RedisServer is a Redis for one test. Its URL has no password.
type RedisServer struct {
	Server
	redis *services.Redis
}

// Redis starts a Redis without persistence. args are additional arguments for
// redis-server.
func Redis(t testing.TB, args ...string) *RedisServer {
	t.Helper()
	r := &RedisServer{}
	r.Server = launch(t, func(f *services.Folder) (*services.Service, error) {
		var err error
		if r.redis, err = services.NewRedis(f, 0, args...); err != nil {
			return nil, err
		}
		return r.redis.Service, nil
	})
	t.Cleanup(func() { r.close(t) })
	r.Port, r.URL = r.redis.Port(0), r.redis.URL()
	return r
}

// Client runs redis-cli with these arguments and returns its output, without
// surrounding white space.
func (r *RedisServer) Client(t testing.TB, args ...string) string {
	t.Helper()
	out, err := r.redis.Client(context.Background(), args...)
	requireNoError(t, err)
	return out
}
