package main

import (
	"fmt"
	"time"
)

// usage is what server and generator have used at one moment.
type usage struct {
	server *process // all of its processes together; nil: unknown
	parts  []part   // each of them, where there are several
	self   time.Duration
}

// part is one of the server's processes.
type part struct {
	name string
	process
}

// processes lists the server's, as far as they are known.
func (s *server) processes() []namedPID {
	if s.cluster == nil {
		return s.target.PIDs
	}
	var all []namedPID
	for _, started := range s.cluster.services() {
		all = append(all, namedPID{started.Name(), started.PID()})
	}
	return all
}

// known says whether the server's processes are known.
func (s *server) known() bool { return len(s.processes()) > 0 }

// read reads what the server's processes have used so far; it needs one.
func (s *server) read() (usage, error) {
	u := usage{server: &process{}}
	for _, named := range s.processes() {
		p, err := readProcess(named.pid)
		if err != nil {
			return usage{}, fmt.Errorf("%s: %w", named.name, err)
		}
		u.parts = append(u.parts, part{named.name, *p})
		u.server.cpu += p.cpu
		u.server.rss += p.rss
		u.server.private += p.private
		u.server.peak += p.peak
	}
	if len(u.parts) == 1 {
		u.parts = nil
	}
	return u, nil
}

// usage reads what server and generator have used so far. What can't be read
// is noted in rep.
func (s *server) usage(rep *report) usage {
	self := ownCPU()
	if !s.known() {
		rep.note("the server's process is unknown (--pid): its CPU time and memory are not measured")
		return usage{self: self}
	}
	u, err := s.read()
	if err != nil {
		rep.note("the server's CPU time and memory: %v", err)
	}
	u.self = self
	return u
}

// costEach says what a million of something took of each of the server's
// processes, where n of them were done between before and after.
func addCostEach(r *report, what string, before, after usage, n int) {
	if after.server == nil || before.server == nil || n == 0 {
		return
	}
	of := func(who string, before, after *process) {
		r.figure(who+" CPU per million "+what, (after.cpu-before.cpu).Seconds()/float64(n)*1e6, "s", lower)
	}
	of(wholeServer, before.server, after.server)
	for i := range after.parts {
		of(after.parts[i].name, &before.parts[i].process, &after.parts[i].process)
	}
}

// cost says what so many messages took of the machine.
func addCost(r *report, before, after usage, messages int64, elapsed time.Duration) {
	per := func(who string, cpu time.Duration) {
		if messages > 0 {
			r.figure(who+" CPU per million messages", cpu.Seconds()/float64(messages)*1e6, "s", lower)
		}
		r.figure(who+" CPU", cpu.Seconds()/elapsed.Seconds()*100, "% of a core", lower)
	}
	of := func(who string, before, after *process) {
		per(who, after.cpu-before.cpu)
		r.figure(who+" memory", mebibytes(after.rss), "MiB", lower)
		r.figure(who+" memory, peak", mebibytes(after.peak), "MiB", lower)
	}
	known := after.server != nil && before.server != nil
	if known {
		of(wholeServer, before.server, after.server)
		for i := range after.parts {
			of(after.parts[i].name, &before.parts[i].process, &after.parts[i].process)
		}
	}
	own := after.self - before.self
	per(generator, own)
	if known {
		if all := after.server.cpu - before.server.cpu + own; all > 0 {
			r.figure(generator+" share", own.Seconds()/all.Seconds()*100, "% of all CPU used", lower)
		}
	}
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }
