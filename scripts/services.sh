# What tests and a local cluster need of the machine: to be sourced, by bash.

# missing_services lists the Debian packages of MariaDB, Redis and nginx that
# have to be installed.
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

# have_node says whether there is a Node that the tests of the JavaScript SDK run
# on. A system's package may be too old.
have_node() { command -v node >/dev/null && node -e '
	const [major, minor] = process.versions.node.split(".").map(Number);
	process.exit(major > 20 || (major === 20 && minor >= 10) ? 0 : 1)'; }

# missing_browser lists the packages that the tests in a browser lack: in Chromium, or in
# CHATD_BROWSER.
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

# install_packages gets packages without anything of them starting by itself:
# what is needed is started by whoever needs it. It succeeds whatever happens;
# who needs the packages looks again.
install_packages() {
	local policy=/usr/sbin/policy-rc.d made=
	if [ ! -e $policy ]; then
		printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made=1
	fi
	apt-get update -qq || true
	DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends "$@" >/dev/null || true
	[ -z "$made" ] || rm -f $policy
}

# can_install says whether this user of this machine may install packages.
can_install() { command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; }

# missing_languages lists the Debian packages of the languages that the
# JavaScript SDK and example clients are written in. Where they are missing, or
# too old, their tests are skipped.
missing_languages() {
	command -v python3 >/dev/null || echo python3
	command -v node >/dev/null || command -v nodejs >/dev/null || echo nodejs
}
