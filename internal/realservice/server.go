package realservice

import (
	"context"
	"testing"

	"chatd/internal/services"
)

// Server is a service that a test may treat badly. It ends with the test.
type Server struct {
	URL  string
	Port int // of 127.0.0.1

	service *services.Service
	folder  *services.Folder
}

// launch starts a service for the first time: what lay lays out in a folder of
// its own.
func launch(t testing.TB, lay func(*services.Folder) (*services.Service, error)) Server {
	t.Helper()
	folder, err := services.NewFolder("", "chatd-test-")
	requireNoError(t, err)
	s := Server{folder: folder}
	if s.service, err = lay(folder); err == nil {
		err = s.service.Start(context.Background())
	}
	if err != nil {
		s.close(t)
		requireNoError(t, err)
	}
	return s
}

// end ends the server and removes its folder.
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

// Start starts the server again, after Kill: on its port, with its data.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	requireNoError(t, s.service.Start(context.Background()))
}

// Kill ends the server at once, as kill -9 does.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	requireNoError(t, s.service.Kill())
}

// Stop freezes the server: its connections stay, and nothing answers.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	requireNoError(t, s.service.Freeze())
}

// Cont lets the server go on after Stop.
func (s *Server) Cont(t testing.TB) {
	t.Helper()
	requireNoError(t, s.service.Thaw())
}
