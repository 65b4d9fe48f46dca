#!/usr/bin/env bash
# fuzz.sh TIME PACKAGE… runs each fuzz target of the packages for TIME.
set -euo pipefail
cd "$(dirname "$0")/.."

time=$1
shift
found=0
while IFS=$'\t' read -r package dir; do
	# Skip packages without fuzz targets: building their tests takes time.
	targets=$(grep -hoE '^func Fuzz[A-Za-z0-9_]*' "$dir"/*_test.go 2>/dev/null | sed 's/^func //' || true)
	for target in $targets; do
		found=1
		echo "fuzz: $package $target for $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$package" </dev/null
	done
done < <(go list -f '{{.ImportPath}}{{"\t"}}{{.Dir}}' "$@")
[ "$found" = 1 ] || echo "fuzz: no fuzz targets in $*"
