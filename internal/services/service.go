package services

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// Program says how a service is run.
type Program struct {
	Name string // as people call it: "node 1"
	Path string
	Dir  string // where it runs; "": where this process does
	// Ports are what it listens on: 0 for one that is chosen at its first start.
	Ports []int
	// Args are its arguments, ports being the numbers of Ports.
	Args func(ports []int) []string
	// Ready is nil once s answers as it should. It is called until then, and
	// must not block for longer than some seconds.
	Ready func(s *Service) error
	// StopTimeout is how long it may take to end in order; 0: a minute.
	StopTimeout time.Duration
}

// Service is a program that is started and ended here, again and again: on
// its ports, with its data.
type Service struct {
	Folder string // of its own; its log is in there

	program Program
	parent  *Folder
	ports   []*Port
	process *process // nil: not started, or ended by us
	pid     atomic.Int64
}

// New makes a service's folder beneath f. The service isn't started.
func New(f *Folder, p Program) (*Service, error) {
	s := &Service{program: p, parent: f, Folder: filepath.Join(f.Path, strings.ReplaceAll(p.Name, " ", "-"))}
	if s.program.StopTimeout == 0 {
		s.program.StopTimeout = stopTimeout
	}
	for _, number := range p.Ports {
		s.ports = append(s.ports, &Port{Number: number})
	}
	if err := os.Mkdir(s.Folder, 0o700); err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	return s, nil
}

// Name is what people call it.
func (s *Service) Name() string { return s.program.Name }

// PID is its process, 0 where it doesn't run. Any goroutine may ask.
func (s *Service) PID() int { return int(s.pid.Load()) }

// Port is the i-th of its ports; 0 where it hasn't been chosen yet.
func (s *Service) Port(i int) int { return s.ports[i].Number }

// Start starts the service, on the ports that it had before. Where a port
// that was chosen here has been taken by somebody else at the first start,
// another is chosen. Beside an error it doesn't run.
func (s *Service) Start(ctx context.Context) error {
	if s.process != nil {
		return s.wrapError(errors.New("it runs already"))
	}
	for attempt := 1; ; attempt++ {
		chosen, err := s.choosePorts()
		if err == nil {
			err = s.startOnce(ctx)
		}
		if err == nil || len(chosen) == 0 || attempt == 3 || ctx.Err() != nil || !s.releaseIfTaken(chosen) {
			return s.wrapError(err)
		}
	}
}

// choose chooses the ports that are not known yet.
func (s *Service) choosePorts() (chosen []int, err error) {
	for i, p := range s.ports {
		if p.Number != 0 {
			continue
		}
		if s.ports[i], err = NewPort(); err != nil {
			s.ports[i] = p
			return chosen, err
		}
		chosen = append(chosen, i)
	}
	return chosen, nil
}

// free gives chosen ports up where somebody else listens on one of them.
func (s *Service) releaseIfTaken(chosen []int) (gaveUp bool) {
	for _, i := range chosen {
		gaveUp = gaveUp || Taken(s.Port(i))
	}
	for _, i := range chosen {
		if gaveUp {
			_ = s.ports[i].Release() // it is somebody else's anyway
			s.ports[i] = &Port{}
		}
	}
	return gaveUp
}

// try starts the service and waits until it is ready.
func (s *Service) startOnce(ctx context.Context) error {
	numbers := make([]int, len(s.ports))
	for i, p := range s.ports {
		numbers[i] = p.Number
	}
	p, err := s.parent.start(s.program.Dir, s.logPath(), s.program.Path, s.program.Args(numbers)...)
	if err != nil {
		return err
	}
	s.process = p
	s.pid.Store(int64(p.pid))
	if err := p.waitReady(ctx, func() error { return s.program.Ready(s) }); err != nil {
		return errors.Join(fmt.Errorf("%w%s", err, p.logSuffix()), s.Kill())
	}
	return nil
}

// Stop ends the service in order, by SIGTERM; a frozen one goes on for that.
// One that has not ended in time is killed, which is an error, and so is any
// end but a good one.
func (s *Service) Stop() error {
	if s.process == nil {
		return s.wrapError(errors.New("it doesn't run"))
	}
	p := s.process
	if !p.ended() {
		_ = syscall.Kill(p.pid, syscall.SIGTERM) // nobody has waited for it: the process is there
		_ = syscall.Kill(-p.pid, syscall.SIGCONT)
	}
	for end := time.Now().Add(s.program.StopTimeout); !p.ended(); time.Sleep(pollEvery) {
		if time.Now().After(end) {
			return errors.Join(s.wrapError(fmt.Errorf("it had not ended %s after SIGTERM and was killed%s", s.program.StopTimeout, p.logSuffix())), s.Kill())
		}
	}
	if p.status != 0 {
		return errors.Join(s.wrapError(fmt.Errorf("it ended badly, with %s%s", p.exitReason(), p.logSuffix())), s.Kill())
	}
	return s.Kill()
}

// Kill ends the service at once, as kill -9 does.
func (s *Service) Kill() error {
	if s.process == nil {
		return s.wrapError(errors.New("it doesn't run"))
	}
	p := s.process
	s.process = nil
	s.pid.Store(0)
	return s.wrapError(p.kill())
}

// Freeze stops the service by SIGSTOP: its connections stay, and nothing
// answers.
func (s *Service) Freeze() error { return s.signal(syscall.SIGSTOP) }

// Thaw lets the service go on after Freeze.
func (s *Service) Thaw() error { return s.signal(syscall.SIGCONT) }

func (s *Service) signal(sig syscall.Signal) error {
	if s.process == nil {
		return s.wrapError(errors.New("it doesn't run"))
	}
	return s.wrapError(s.process.signal(sig))
}

// Ended says why the service has ended by itself; nil where it runs, or was
// ended here.
func (s *Service) Ended() error {
	if s.process == nil || !s.process.ended() {
		return nil
	}
	return s.wrapError(fmt.Errorf("it has ended with %s%s", s.process.exitReason(), s.process.logSuffix()))
}

// Log is the end of what the service has written.
func (s *Service) Log() string { return tail(s.logPath()) }

func (s *Service) logPath() string { return filepath.Join(s.Folder, "log") }

// Close kills the service where it runs, and gives up its ports. Its folder
// stays. It may be called again.
func (s *Service) Close() error {
	var err error
	if s.process != nil {
		err = s.Kill()
	}
	for _, p := range s.ports {
		err = errors.Join(err, p.Release())
	}
	return err
}

// wrong says whose error it is.
func (s *Service) wrapError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", s.program.Name, err)
}
