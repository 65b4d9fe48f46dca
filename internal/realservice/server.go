package realservice

import (
	"context"
	"testing"

	"chatd/internal/services"
)

// Server is a service that a test may kill or freeze. It ends with the test.
type Server struct {
	URL  string
	Port int // of 127.0.0.1

	service *services.Service
	folder  *services.Folder
}

// launch creates a temporary directory and starts the service that create
// creates in it.
func launch(t testing.TB, create func(*services.Folder) (*services.Service, error)) Server {
	t.Helper()
	folder, err := services.NewFolder("", "chatd-test-")
	requireNoError(t, err)
	s := Server{folder: folder}
	if s.service, err = create(folder); err == nil {
		err = s.service.Start(context.Background())
	}
	if err != nil {
		s.close(t)
		requireNoError(t, err)
	}
	return s
}

// close ends the service and removes its directory.
func (s *Server) close(t testing.TB) {
	t.Helper()
	if s.service != nil {
		if err := s.service.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.folder.Remove(); err != nil {
		t.Error(err)
	}
}

// Start restarts the server after Kill, with the same port and data.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	requireNoError(t, s.service.Start(context.Background()))
}

// Kill kills the server with SIGKILL.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	requireNoError(t, s.service.Kill())
}

// Stop freezes the server with SIGSTOP: its connections stay open, but it
// doesn't answer.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	requireNoError(t, s.service.Freeze())
}

// Cont resumes the server after Stop.
func (s *Server) Cont(t testing.TB) {
	t.Helper()
	requireNoError(t, s.service.Thaw())
}
