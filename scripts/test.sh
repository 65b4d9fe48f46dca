#!/usr/bin/env bash
# test.sh PACKAGE… runs all tests of the packages. If it can, it installs what is
# missing: a C compiler for the race detector, MariaDB, Redis, nginx, Node.js,
# Python and a browser. What it can't install, it does without:
#
#   C compiler              the tests run without the race detector
#   Node.js, Python         tests that need them are skipped
#   browser                 the tests of the web client in a browser are skipped
#   promtool                the tests of alerts and dashboard are skipped
#   MariaDB, Redis, nginx   tests that need them fail
#
# If CHATD_SKIP_SERVICES is set, tests that need a missing service are skipped, and
# neither services nor a browser are installed.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/services.sh

have_cc() {
	local cc
	cc=$(go env CC)
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $cc -x c -o /dev/null - 2>/dev/null
}

# missing lists the packages to install.
missing() {
	have_cc || echo gcc libc6-dev
	missing_languages
	[ -n "${CHATD_SKIP_SERVICES:-}" ] || { missing_services; missing_browser; missing_promtool; }
}

race=(-race)
packages=$(missing)
if [ -n "$packages" ] && can_install; then
	echo "test: installing missing packages:" $packages
	install_packages $packages
fi
if have_cc; then
	export CGO_ENABLED=1
else
	echo "test: no C compiler found: running WITHOUT the race detector"
	race=()
	export CGO_ENABLED=0
fi
have_node || echo "test: Node 20.10 or later not found: the JavaScript SDK is NOT tested"
[ -z "$(missing_promtool)" ] || echo "test: promtool not found: deploy/alerts.yml and deploy/grafana.json are NOT checked"
[ -z "$(missing_browser)" ] || echo "test:" $(missing_browser) "not found: the web client is NOT tested in a browser"

# The tests spend nearly half of their time waiting for timeouts, restarts and other
# processes. So run half as many packages again as there are cores, and start with
# those that take longest: otherwise the last of them would run alone.
parallel=$(($(getconf _NPROCESSORS_ONLN) * 3 / 2)) # nproc isn't everywhere
[ "$*" != ./... ] || set -- ./bench ./test ./model ./bench/crash ./client/web/browsertest ./service ./...

# SQLite is C translated to Go. All its memory is outside Go's heap, where the race
# detector sees nothing, but checks each access: the tests took up to three times as much
# processor time. Its locks are in modernc.org/libc, which stays instrumented.
# -vet=off: make lint runs go vet, with all of its checks.
# On a busy machine, a package may exceed the default timeout of go test (ten minutes).
options=("${race[@]}" -gcflags=modernc.org/sqlite/lib=-race=false -count=1 -p "$parallel" -vet=off -timeout 30m)
echo "test: go test ${options[*]} $*   (the first build downloads modules and takes a few minutes)"
exec go test "${options[@]}" "$@"
