#!/usr/bin/env bash
# Says everything that is wrong, not only the first, and fails if anything was.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=0
step() {
	echo "lint: $*"
	"$@" || failed=1
}

formatted() {
	local files
	files=$(git ls-files -z --cached --others --exclude-standard -- '*.go' | xargs -0 gofmt -l) || return 1
	[ -z "$files" ] || { echo "$files"; echo "these files are not as gofmt writes them"; return 1; }
}

step formatted
step go vet ./...
step go tool staticcheck ./...
step go mod tidy -diff
exit $failed
