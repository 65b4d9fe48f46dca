#!/usr/bin/env bash
# Runs all checks, reports every problem, and fails if there was one.
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

# vulnerable reports known vulnerabilities in what our code calls. It first checks
# that the database can be reached: a scan would wait for it for minutes.
vulnerable() {
	local db=${VULNDB:-https://vuln.go.dev}
	if ! timeout 30 go tool govulncheck -db "$db" -version 2>/dev/null | grep -q '^DB updated:'; then
		echo "lint: govulncheck was SKIPPED: $db can't be reached"
		return 0
	fi
	go tool govulncheck -db "$db" ./...
}

step formatted
step go vet ./...
# ST1016 isn't on by default: all methods of a type name the receiver alike.
step go tool staticcheck -checks inherit,ST1016 ./...
step go mod tidy -diff
step vulnerable
exit $failed
