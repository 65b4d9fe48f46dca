package main

// rig is what a scenario works with.
type rig struct {
	server   *server
	progress *progress
	report   *report
	faults   *faults
	clock    clock
}
