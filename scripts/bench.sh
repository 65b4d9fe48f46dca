#!/usr/bin/env bash
# bench.sh TIME PACKAGE… runs each benchmark of the packages for TIME. For ./... it
# also runs each scenario of the load generator for a few seconds, against a server
# that it starts and then against the bare relay. This takes five minutes.
set -euo pipefail
cd "$(dirname "$0")/.."

time=$1
shift
packages=()
while IFS=$'\t' read -r package dir; do
	# Skip packages without benchmarks: linking their tests takes time.
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
mkdir -p -m 700 data # measure this disk: the system's temporary directory may be in memory
for scenario in event ping "ping --kind chat" stream; do
	load $scenario --duration 4s --dir data
	load floor $scenario --duration 4s
done
load fanout --duration 4s --dir data
load connect --conns 5000 --duration 2s --dir data
exit $failed
