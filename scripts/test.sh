#!/usr/bin/env bash
# Runs every test of the packages named. The race detector needs a C compiler:
# where there is none it is installed if that is possible, else the tests run
# without it, and this says so.
set -euo pipefail
cd "$(dirname "$0")/.."

have_cc() {
	local cc
	cc=$(go env CC)
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $cc -x c -o /dev/null - 2>/dev/null
}

race=(-race)
if ! have_cc && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	echo "test: no C compiler, which the race detector needs: installing gcc"
	apt-get update -qq || true
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends gcc libc6-dev >/dev/null || true
fi
if have_cc; then
	export CGO_ENABLED=1
else
	echo "test: no C compiler: running WITHOUT the race detector"
	race=()
	export CGO_ENABLED=0
fi

echo "test: go test ${race[*]:-} -count=1 $*   (the first build fetches modules and takes some minutes)"
exec go test "${race[@]}" -count=1 "$@"
