#!/usr/bin/env bash
# Restarts the nodes of a cluster one after another: drains a node, waits until it has
# stopped, starts it, waits until it accepts clients, and continues with the next. The
# node's clients reconnect to other nodes, and no message is lost. If a node doesn't become
# ready, the script stops there, and the other nodes keep serving.
#
#   deploy/rolling-restart.sh [NAME…]           nodes of make cluster (default: all three)
#   deploy/rolling-restart.sh --systemd NAME…   the units chatd@NAME of this machine; the
#                                               address of their health checks is
#                                               CHATD_HEALTH, or else CHATD_HTTP, in
#                                               /etc/chatd/NAME.env
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
timeout=60 # seconds to wait for a node to accept clients
pause=3    # seconds between two nodes: nginx retries a failed node after two seconds

systemd=
[ "${1:-}" != --systemd ] || { systemd=1; shift; }
case ${1:-} in
-*) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
if [ $# = 0 ]; then
	[ -z "$systemd" ] || { echo "rolling-restart: --systemd needs at least one node name" >&2; exit 2; }
	set -- node1 node2 node3
fi

# ready ADDRESS succeeds if the node at ADDRESS accepts clients.
ready() (
	exec 8<>"/dev/tcp/${1%:*}/${1##*:}" || exit 1
	printf 'GET /readyz HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" >&8
	read -r -t 2 line <&8
	case $line in *" 200 "*) ;; *) exit 1 ;; esac
) 2>/dev/null

# await NAME ADDRESS waits until the node accepts clients. If it doesn't, the script exits.
await() {
	local end=$((SECONDS + timeout))
	until ready "$2"; do
		[ $SECONDS -lt $end ] || { echo "rolling-restart: $1 isn't ready after $timeout s (http://$2/readyz); the remaining nodes were not restarted" >&2; exit 1; }
		sleep 0.2
	done
}

health_of() {
	if [ -n "$systemd" ]; then
		{ sed -n 's/^CHATD_HTTP=//p' "/etc/chatd/$1.env" | tail -n 1; sed -n 's/^CHATD_HEALTH=//p' "/etc/chatd/$1.env"; } | tail -n 1
	else
		"$here/cluster.sh" health "$1"
	fi
}

restart() {
	if [ -n "$systemd" ]; then
		systemctl restart "chatd@$1" # sends SIGTERM and waits until the node has stopped
	else
		"$here/cluster.sh" stop "$1"
		"$here/cluster.sh" start "$1"
	fi
}

# First check that all nodes are ready. Otherwise, the first restart could stop the only
# node that accepts clients.
for name; do
	health=$(health_of "$name")
	[ -n "$health" ] || { echo "rolling-restart: $name: no CHATD_HEALTH or CHATD_HTTP in /etc/chatd/$name.env" >&2; exit 1; }
	ready "$health" || { echo "rolling-restart: $name isn't ready (http://$health/readyz); nothing was restarted" >&2; exit 1; }
done
first=1
for name; do
	[ -n "$first" ] || sleep $pause
	first=
	restart "$name"
	await "$name" "$(health_of "$name")"
	echo "rolling-restart: $name restarted"
done
