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

// Program describes how to run a service.
type Program struct {
	Name string // for people, such as "node 1"; also names its folder and errors
	Path string
	Dir  string // working directory; "" means the current one
	// Ports are the ports that it listens on. Ports that are 0 are chosen at the
	// first start.
	Ports []int
	// Args returns the arguments; ports are the numbers of Ports.
	Args func(ports []int) []string
	// Ready returns nil once s works. It is called until then. Each call must not
	// block for longer than a few seconds.
	Ready func(s *Service) error
	// StopTimeout is how long Stop waits; 0 means one minute.
	StopTimeout time.Duration
}

// Service is a program that can be started and stopped repeatedly, with the same
// ports and data.
type Service struct {
	Folder string // its own directory, which also has its log

	program Program
	parent  *Folder
	ports   []*Port
	process *process // nil if not started, or ended by this package
	pid     atomic.Int64
}

// New creates a service's directory in f. It doesn't start the service.
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

// Name returns the program's name.
func (s *Service) Name() string { return s.program.Name }

// PID returns the process id, 0 if the service doesn't run. It is safe for
// concurrent use.
func (s *Service) PID() int { return int(s.pid.Load()) }

// Port returns the i-th port, 0 if it hasn't been chosen yet.
func (s *Service) Port(i int) int { return s.ports[i].Number }

// Start starts the service and waits until it is ready. A restarted service gets
// its old ports. If another program took a port in the moment after it was
// chosen, Start chooses another one and retries. After an error, the service
// doesn't run.
func (s *Service) Start(ctx context.Context) error {
	if s.process != nil {
		return s.wrapError(errors.New("already running"))
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

// choosePorts chooses the ports that are still 0, and returns their indexes.
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

// releaseIfTaken releases the chosen ports if another program listens on one of
// them, and reports whether it did.
func (s *Service) releaseIfTaken(chosen []int) (gaveUp bool) {
	for _, i := range chosen {
		gaveUp = gaveUp || Taken(s.Port(i))
	}
	for _, i := range chosen {
		if gaveUp {
			_ = s.ports[i].Release() // another program has it anyway
			s.ports[i] = &Port{}
		}
	}
	return gaveUp
}

// startOnce starts the service and waits until it is ready.
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

// Stop ends the service with SIGTERM and waits for its end. A frozen service
// continues first. It returns an error if the service had to be killed after
// StopTimeout, or if it didn't exit with 0.
func (s *Service) Stop() error {
	if s.process == nil {
		return s.wrapError(errors.New("not running"))
	}
	p := s.process
	if !p.ended() {
		_ = syscall.Kill(p.pid, syscall.SIGTERM) // safe: the process wasn't reaped yet, so its id is valid
		_ = syscall.Kill(-p.pid, syscall.SIGCONT)
	}
	for end := time.Now().Add(s.program.StopTimeout); !p.ended(); time.Sleep(pollEvery) {
		if time.Now().After(end) {
			return errors.Join(s.wrapError(fmt.Errorf("still running %s after SIGTERM and was killed%s", s.program.StopTimeout, p.logSuffix())), s.Kill())
		}
	}
	if p.status != 0 {
		return errors.Join(s.wrapError(fmt.Errorf("failed with %s%s", p.exitReason(), p.logSuffix())), s.Kill())
	}
	return s.Kill()
}

// Kill kills the service with SIGKILL.
func (s *Service) Kill() error {
	if s.process == nil {
		return s.wrapError(errors.New("not running"))
	}
	p := s.process
	s.process = nil
	s.pid.Store(0)
	return s.wrapError(p.kill())
}

// Freeze suspends the service with SIGSTOP: its connections stay open, but it
// doesn't answer.
func (s *Service) Freeze() error { return s.signal(syscall.SIGSTOP) }

// Thaw resumes a frozen service.
func (s *Service) Thaw() error { return s.signal(syscall.SIGCONT) }

func (s *Service) signal(sig syscall.Signal) error {
	if s.process == nil {
		return s.wrapError(errors.New("not running"))
	}
	return s.wrapError(s.process.signal(sig))
}

// Ended returns an error with the reason if the service has ended by itself. It
// returns nil if it runs, or was stopped by this package.
func (s *Service) Ended() error {
	if s.process == nil || !s.process.ended() {
		return nil
	}
	return s.wrapError(fmt.Errorf("ended with %s%s", s.process.exitReason(), s.process.logSuffix()))
}

// Log returns the end of the service's output.
func (s *Service) Log() string { return tail(s.logPath()) }

func (s *Service) logPath() string { return filepath.Join(s.Folder, "log") }

// Close kills the service if it runs, and releases its ports. The folder stays.
// It may be called again.
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

// wrapError adds the service's name to err.
func (s *Service) wrapError(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", s.program.Name, err)
}
