# Functions that find or install the programs that tests and a local cluster need.
# Source this file in bash.

# missing_services lists the Debian packages of MariaDB, Redis and nginx that
# aren't installed.
missing_services() {
	local PATH=$PATH:/usr/sbin:/usr/local/sbin
	command -v mariadbd >/dev/null && command -v mariadb-install-db >/dev/null || echo mariadb-server
	command -v redis-server >/dev/null && command -v redis-cli >/dev/null || echo redis-server
	if ! command -v nginx >/dev/null; then
		echo nginx libnginx-mod-stream
	elif nginx -V 2>&1 | grep -q 'with-stream=dynamic' && [ ! -e /usr/lib/nginx/modules/ngx_stream_module.so ]; then
		echo libnginx-mod-stream
	fi
}

# missing_promtool lists the Debian package that checks alerts and metrics. Without
# it, these tests are skipped.
missing_promtool() { command -v promtool >/dev/null || echo prometheus; }

# have_node reports whether Node.js is installed and new enough for the tests of the
# JavaScript SDK. The system's package may be too old.
have_node() { command -v node >/dev/null && node -e '
	const [major, minor] = process.versions.node.split(".").map(Number);
	process.exit(major > 20 || (major === 20 && minor >= 10) ? 0 : 1)'; }

# missing_browser lists the missing packages for tests in a browser, which is
# CHATD_BROWSER or Chromium.
missing_browser() {
	case ${CHATD_BROWSER:-chromium} in
	firefox) command -v firefox-esr >/dev/null || echo firefox-esr ;;
	webkit)
		command -v WebKitWebDriver >/dev/null || echo webkit2gtk-driver
		command -v Xvfb >/dev/null || echo xvfb
		return
		;;
	*) command -v chromium >/dev/null || echo chromium ;;
	esac
	command -v npm >/dev/null || echo npm
}

# install_packages installs Debian packages without starting their services. It
# always succeeds; the caller must check whether the packages are installed.
install_packages() {
	local policy=/usr/sbin/policy-rc.d made=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made=1
	fi
	apt-get update -qq || true
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null || true
	[ -z "$made" ] || rm -f $policy
}

# can_install reports whether this user may install packages.
can_install() { command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; }

# missing_languages lists the missing Debian packages of Python and Node.js, which
# the tests of the JavaScript SDK and the example clients need, and of fail2ban, which
# tests its filter. Without them, or with old versions, these tests are skipped.
missing_languages() {
	command -v python3 >/dev/null || echo python3
	command -v node >/dev/null || command -v nodejs >/dev/null || echo nodejs
	command -v fail2ban-regex >/dev/null || echo fail2ban
}
