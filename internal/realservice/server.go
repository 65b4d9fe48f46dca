package realservice

import (
	"net"
	"os"
	"syscall"
	"testing"
)

// Server is a service that a test may treat badly. It ends with the test.
type Server struct {
	URL  string
	Port int // of 127.0.0.1

	name   string
	folder string
	start  func() (*process, error)
	ready  func(net.Conn) error // the service answers as it should
	p      *process
}

// launch starts the server for the first time, on a free port; where somebody
// else has taken that meanwhile, on another.
func (s *Server) launch(t testing.TB) {
	t.Helper()
	for range 3 {
		s.Port = Port(t)
		p, err := s.start()
		if err != nil {
			t.Errorf("%s: %v", s.name, err)
			break
		}
		if err = p.await(s.answers); err == nil {
			s.p = p
			return
		}
		t.Logf("%s: %v; its log ends with:\n%s", s.name, err, p.lastWords())
		if err := p.end(); err != nil {
			t.Errorf("%s: %v", s.name, err)
			break
		}
	}
	s.end(t)
	t.Fatalf("%s doesn't start", s.name)
}

// end ends the server and removes its folder.
func (s *Server) end(t testing.TB) {
	t.Helper()
	if s.p != nil {
		if err := s.p.end(); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		s.p = nil
	}
	if err := os.RemoveAll(s.folder); err != nil {
		t.Errorf("%s: %v", s.name, err)
	}
}

func (s *Server) answers() error { return answers(s.Port, s.ready) }

// Start starts the server again, after Kill: on its port, with its data.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if s.p != nil {
		t.Fatalf("%s runs already", s.name)
	}
	p, err := s.start()
	if err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	s.p = p
	if err := p.await(s.answers); err != nil {
		t.Fatalf("%s: %v; its log ends with:\n%s", s.name, err, p.lastWords())
	}
}

// Kill ends the server at once, as kill -9 does.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if s.p == nil {
		t.Fatalf("%s doesn't run", s.name)
	}
	if err := s.p.end(); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
	s.p = nil
}

// Stop freezes the server: its connections stay, and nothing answers.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGSTOP)
}

// Cont lets the server go on after Stop.
func (s *Server) Cont(t testing.TB) {
	t.Helper()
	s.signal(t, syscall.SIGCONT)
}

func (s *Server) signal(t testing.TB, sig syscall.Signal) {
	t.Helper()
	if s.p == nil {
		t.Fatalf("%s doesn't run", s.name)
	}
	if err := s.p.signal(sig); err != nil {
		t.Fatalf("%s: %v", s.name, err)
	}
}
