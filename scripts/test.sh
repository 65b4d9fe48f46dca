#!/usr/bin/env bash
# Runs every test of the packages named. The race detector needs a C compiler,
# and some tests real services: what is missing is installed if that is
# possible. Without a compiler the tests run without the race detector, and this
# says so; without a service its tests fail, unless CHATD_SKIP_SERVICES is set.
set -euo pipefail
cd "$(dirname "$0")/.."

have_cc() {
	local cc
	cc=$(go env CC)
	printf '#include <stdlib.h>\nint main(void) { return 0; }\n' | $cc -x c -o /dev/null - 2>/dev/null
}

# missing lists the packages that have to be installed.
missing() {
	have_cc || echo gcc libc6-dev
	[ -z "${CHATD_SKIP_SERVICES:-}" ] || return 0
	local PATH=$PATH:/usr/sbin:/usr/local/sbin
	command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null || echo mariadb-server
	command -v redis-server >/dev/null && command -v redis-cli >/dev/null || echo redis-server
	if ! command -v nginx >/dev/null; then
		echo nginx libnginx-mod-stream
	elif nginx -V 2>&1 | grep -q 'with-stream=dynamic' && [ ! -e /usr/lib/nginx/modules/ngx_stream_module.so ]; then
		echo libnginx-mod-stream
	fi
}

# install gets packages without anything of them starting by itself: the
# tests start what they need, and a machine for tests is no server.
install() {
	echo "test: installing what is missing here: $*"
	local policy=/usr/sbin/policy-rc.d made=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made=1
	fi
	apt-get update -qq || true
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null || true
	[ -z "$made" ] || rm -f $policy
}

race=(-race)
packages=$(missing)
if [ -n "$packages" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	install $packages
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
