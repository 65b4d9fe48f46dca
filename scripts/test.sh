#!/usr/bin/env bash
# test.sh PACKAGE… runs all tests of the packages. It installs what is missing, if
# it can: a C compiler for the race detector, MariaDB, Redis, nginx, Node.js and a
# browser. Without a compiler the tests run without the race detector. Without
# Node.js the JavaScript SDK isn't tested, and without a browser the web client
# isn't tested in one; the script prints that. Without a service its tests fail,
# unless CHATD_SKIP_SERVICES is set: then they are skipped, and no browser is
# installed.
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
	[ -n "${CHATD_SKIP_SERVICES:-}" ] || { missing_services; missing_browser; }
}

race=(-race)
packages=$(missing)
if [ -n "$packages" ] && can_install; then
	echo "test: installing what is missing here:" $packages
	install_packages $packages
fi
if have_cc; then
	export CGO_ENABLED=1
else
	echo "test: no C compiler: running WITHOUT the race detector"
	race=()
	export CGO_ENABLED=0
fi
have_node || echo "test: no Node, or none of 20.10 or later: the JavaScript SDK is NOT tested"
[ -z "$(missing_browser)" ] || echo "test: no" $(missing_browser)": the web client is NOT tested in a browser"

# The tests of a package take a few minutes. On a busy machine they may exceed the
# default time limit of go test, which is ten minutes.
echo "test: go test ${race[*]:-} -count=1 $*   (the first build fetches modules and takes some minutes)"
exec go test "${race[@]}" -count=1 -timeout 30m "$@"
