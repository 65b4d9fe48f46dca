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
	[ -z "$files" ] || { echo "$files"; echo "lint: run gofmt -w on these files"; return 1; }
}

# vulnerable reports known vulnerabilities in functions that our code calls. It
# first checks that the database can be reached, because a scan would wait minutes
# for it.
vulnerable() {
	local db=${VULNDB:-https://vuln.go.dev}
	if ! timeout 30 go tool govulncheck -db "$db" -version 2>/dev/null | grep -q '^DB updated:'; then
		echo "lint: SKIPPED govulncheck: can't reach $db"
		return 0
	fi
	go tool govulncheck -db "$db" ./...
}

step formatted
step go vet ./...
# ST1016 isn't on by default: methods of a type must use the same receiver name.
step go tool staticcheck -checks inherit,ST1016 ./...
step go mod tidy -diff
step vulnerable
exit $failed
