#!/usr/bin/env bash
# Runs every test of the packages named. The race detector needs a C compiler,
# and some tests real services: what is missing is installed if that is
# possible. Without a compiler the tests run without the race detector, without
# Node the JavaScript SDK isn't tested, and without a browser the web client isn't
# tested in one: this says so. Without a service its tests fail, unless
# CHATD_SKIP_SERVICES is set, which leaves out the browser as well.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/services.sh

have_cc() {
	local cc
	cc=$(go env CC)
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $cc -x c -o /dev/null - 2>/dev/null
}

# missing lists the packages that have to be installed.
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

# A package's tests take a minute or two; on a machine with much else to do they
# may take longer than the ten that go test gives them by itself.
echo "test: go test ${race[*]:-} -count=1 $*   (the first build fetches modules and takes some minutes)"
exec go test "${race[@]}" -count=1 -timeout 30m "$@"
