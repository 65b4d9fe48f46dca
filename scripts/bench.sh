#!/usr/bin/env bash
# Runs the benchmarks of the packages named, for the time given first each,
# and, where all packages are, the load harness in short: each load on a server
# of its own and then, where there is one, on the floor. Five minutes in all.
set -euo pipefail
cd "$(dirname "$0")/.."

time=$1
shift
packages=()
while IFS=$'\t' read -r package dir; do
	# Looking into the sources first saves linking packages that have none.
	if grep -q '^func Benchmark' "$dir"/*_test.go 2>/dev/null; then
		packages+=("$package")
	fi
done < <(go list -f '{{.ImportPath}}{{"\t"}}{{.Dir}}' "$@")
if [ ${#packages[@]} = 0 ]; then
	echo "bench: no benchmarks in $*"
else
	go test -short -run '^$' -bench . -benchmem -benchtime "$time" "${packages[@]}"
fi
[ "$*" = ./... ] || exit 0

failed=0
load() {
	echo
	bin/chatbench "$@" || failed=1
}
mkdir -p -m 700 data # the disk that is measured: the system's temporary folder may lie in memory
for scenario in event ping "ping --kind chat" stream; do
	load $scenario --duration 4s --dir data
	load floor $scenario --duration 4s
done
load fanout --duration 4s --dir data
load connect --conns 5000 --duration 2s --dir data
exit $failed
