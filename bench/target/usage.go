package target

import (
	"fmt"
	"time"

	"chatd/bench/report"
)

// Usage is what the server and this process have used up to one moment.
type Usage struct {
	Total     *Process       // sum of all server processes; nil: unknown
	Processes []NamedProcess // each of them, if there are several
	Generator time.Duration
}

// NamedProcess is a process of the server.
type NamedProcess struct {
	Name string
	Process
}

// processes lists the server's processes, as far as they are known.
func (s *Server) processes() []NamedPID {
	if s.cluster == nil {
		return s.target.PIDs
	}
	var all []NamedPID
	for _, started := range s.cluster.services() {
		all = append(all, NamedPID{started.Name(), started.PID()})
	}
	return all
}

// HasProcesses reports whether the server's processes are known.
func (s *Server) HasProcesses() bool { return len(s.processes()) > 0 }

// readUsage reads the usage of the server's processes. There must be one.
func (s *Server) readUsage() (Usage, error) {
	u := Usage{Total: &Process{}}
	for _, named := range s.processes() {
		p, err := readProcess(named.pid)
		if err != nil {
			return Usage{}, fmt.Errorf("%s: %w", named.name, err)
		}
		u.Processes = append(u.Processes, NamedProcess{named.name, *p})
		u.Total.CPU += p.CPU
		u.Total.RSS += p.RSS
		u.Total.Private += p.Private
		u.Total.peak += p.peak
	}
	if len(u.Processes) == 1 {
		u.Processes = nil
	}
	return u, nil
}

// Usage reads the usage of the server and of this process. A note in rep says
// what can't be read.
func (s *Server) Usage(rep *report.Report) Usage {
	self := ownCPU()
	if !s.HasProcesses() {
		rep.AddNote("the server's process is unknown (--pid): its CPU time and memory are not measured")
		return Usage{Generator: self}
	}
	u, err := s.readUsage()
	if err != nil {
		rep.AddNote("can't read the server's CPU time and memory: %v", err)
	}
	u.Generator = self
	return u
}

// AddCostEach adds the CPU time per million operations, n of which were done
// between before and after, for each of the server's processes.
func AddCostEach(r *report.Report, what string, before, after Usage, n int) {
	if after.Total == nil || before.Total == nil || n == 0 {
		return
	}
	of := func(who string, before, after *Process) {
		r.AddFigure(who+" CPU per million "+what, (after.CPU-before.CPU).Seconds()/float64(n)*1e6, "s", report.Lower)
	}
	of(serverName, before.Total, after.Total)
	for i := range after.Processes {
		of(after.Processes[i].Name, &before.Processes[i].Process, &after.Processes[i].Process)
	}
}

// AddCost adds CPU time and memory of the server and this process between
// before and after. With messages it adds the CPU time per million.
func AddCost(r *report.Report, before, after Usage, messages int64, elapsed time.Duration) {
	per := func(who string, cpu time.Duration) {
		if messages > 0 {
			r.AddFigure(who+" CPU per million messages", cpu.Seconds()/float64(messages)*1e6, "s", report.Lower)
		}
		r.AddFigure(who+" CPU", cpu.Seconds()/elapsed.Seconds()*100, "% of a core", report.Lower)
	}
	of := func(who string, before, after *Process) {
		per(who, after.CPU-before.CPU)
		r.AddFigure(who+" memory", mebibytes(after.RSS), "MiB", report.Lower)
		r.AddFigure(who+" memory, peak", mebibytes(after.peak), "MiB", report.Lower)
	}
	known := after.Total != nil && before.Total != nil
	if known {
		of(serverName, before.Total, after.Total)
		for i := range after.Processes {
			of(after.Processes[i].Name, &before.Processes[i].Process, &after.Processes[i].Process)
		}
	}
	own := after.Generator - before.Generator
	per(generatorName, own)
	if known {
		if all := after.Total.CPU - before.Total.CPU + own; all > 0 {
			r.AddFigure(generatorName+" share", own.Seconds()/all.Seconds()*100, "% of all CPU used", report.Lower)
		}
	}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
