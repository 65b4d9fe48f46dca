#!/usr/bin/env bash
# Runs a cluster on the loopback address: MariaDB, Redis, three nodes and nginx. All their
# files are in one directory.
#
#   deploy/cluster.sh up           start everything that isn't running, and print the addresses
#   deploy/cluster.sh down         stop everything that this script started, and keep the data
#   deploy/cluster.sh status       print the state of each service; fail if one isn't running
#   deploy/cluster.sh start NAME   start one of: mariadb redis node1 node2 node3 nginx
#   deploy/cluster.sh stop NAME    stop one of them
#   deploy/cluster.sh health NAME  print the address of a node's health checks
#
# Environment variables:
#
#   CLUSTER_DATA    the directory (default: data/cluster)
#   CLUSTER_PORT    the first of fourteen ports (default: 7000)
#   CLUSTER_CHATD   the chatd binary (default: bin/chatd)
set -euo pipefail
top=$(cd "$(dirname "$0")/.." && pwd)
. "$top/scripts/services.sh"
PATH=$PATH:/usr/sbin:/usr/local/sbin

data=$(realpath -m "${CLUSTER_DATA:-$top/data/cluster}")
base=${CLUSTER_PORT:-7000}
chat_port=$base tls_port=$((base + 4)) web_port=$((base + 5)) db_port=$((base + 6)) redis_port=$((base + 7))
nodes="node1 node2 node3"
all="mariadb redis $nodes nginx"
chatd=$(realpath -m "${CLUSTER_CHATD:-$top/bin/chatd}")
timeout=60 # seconds to wait for a service to start or stop

say() { echo "cluster: $*"; }
die() { echo "cluster: $*" >&2; exit 1; }

chat_of() { echo "127.0.0.1:$((base + ${1#node}))"; }
http_of() { echo "127.0.0.1:$((base + 10 + ${1#node}))"; }
health_of() { echo "127.0.0.1:$((base + 7 + ${1#node}))"; }

# Process IDs are reused, so a process is also identified by its start time, and by its
# command line, which contains the data directory.
began() { local stat; stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1; set -- ${stat##*) }; [ "$1" != Z ] && echo "${20}"; }

# pid_of NAME prints the process ID of a service. It fails if the service isn't running.
pid_of() {
	local pid start
	read -r pid start 2>/dev/null <"$data/run/$1.pid" || return 1
	[ "$(began "$pid")" = "$start" ] && tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF -- "$data/" && echo "$pid"
}

# launch NAME COMMAND… starts a service in the background and records its process ID.
launch() {
	local name=$1 pid
	shift
	setsid "$@" >>"$data/log/$name.log" 2>&1 </dev/null 9>&- &
	pid=$!
	echo "$pid $(began $pid || echo 0)" >"$data/run/$name.pid"
	# Wait for exec. Until then, the process has the command line of this script.
	while began $pid >/dev/null && ! pid_of "$name" >/dev/null; do sleep 0.01; done
}

# await NAME COMMAND… waits until the command succeeds. It fails if the service exits.
await() {
	local name=$1 end=$((SECONDS + timeout))
	shift
	until "$@" >/dev/null 2>&1; do
		pid_of "$name" >/dev/null || { tail -n 20 "$data/log/$name.log" >&2; die "$name exited, see $data/log/$name.log"; }
		[ $SECONDS -lt $end ] || die "$name isn't ready after $timeout s, see $data/log/$name.log"
		sleep 0.1
	done
	pid_of "$name" >/dev/null || die "$name exited, and another process answers on its port, see $data/log/$name.log"
}

# ready ADDRESS succeeds if the node at ADDRESS accepts clients.
ready() (
	exec 8<>"/dev/tcp/${1%:*}/${1##*:}" || exit 1
	printf 'GET /readyz HTTP/1.0\r\nHost: %s\r\n\r\n' "$1" >&8
	read -r -t 2 line <&8
	case $line in *" 200 "*) ;; *) exit 1 ;; esac
)

# secret NAME prints a password from a file. If the file is missing, it creates a new one.
secret() {
	[ -s "$data/$1" ] || (umask 077; od -An -N16 -tx1 /dev/urandom | tr -d ' \n' >"$data/$1")
	cat "$data/$1"
}

sql() { mariadb --no-defaults --socket="$data/mariadb.sock" --user="$(id -un)" --batch --execute="$1"; }

start_mariadb() {
	local as=()
	[ "$(id -u)" != 0 ] || as=(--user=root) # MariaDB refuses to run as root without this
	[ ${#data} -lt 90 ] || die "the path $data is too long for MariaDB's socket; set CLUSTER_DATA"
	if [ ! -d "$data/mariadb/mysql" ]; then
		say "creating a database in $data/mariadb"
		rm -rf "$data/mariadb"
		# The superuser is the user who runs this script, and only through the socket.
		mariadb-install-db --no-defaults "${as[@]}" --datadir="$data/mariadb" --skip-test-db --skip-name-resolve \
			--auth-root-authentication-method=socket --auth-root-socket-user="$(id -un)" >"$data/log/install.log" 2>&1 ||
			die "mariadb-install-db failed, see $data/log/install.log"
	fi
	mkdir -p "$data/mariadb.tmp" # not shared, because at startup MariaDB deletes files of other servers
	launch mariadb mariadbd --no-defaults "${as[@]}" --datadir="$data/mariadb" --tmpdir="$data/mariadb.tmp" --socket="$data/mariadb.sock" --pid-file="$data/run/mariadbd" \
		--bind-address=127.0.0.1 --port=$db_port --skip-name-resolve --skip-log-bin --character-set-server=utf8mb4
	await mariadb sql 'SELECT 1'
	sql "CREATE DATABASE IF NOT EXISTS chat CHARACTER SET utf8mb4; CREATE USER IF NOT EXISTS chatd@127.0.0.1;
		ALTER USER chatd@127.0.0.1 IDENTIFIED BY '$(secret db.password)'; GRANT ALL ON chat.* TO chatd@127.0.0.1;"
}

start_redis() {
	(umask 077; cat >"$data/redis.conf" <<-END
		bind 127.0.0.1
		port $redis_port
		dir "$data"
		requirepass $(secret redis.password)
		save ""
		appendonly no
		set-proc-title no
	END
	)
	launch redis redis-server "$data/redis.conf"
	await redis env REDISCLI_AUTH="$(secret redis.password)" redis-cli -h 127.0.0.1 -p $redis_port -e ping
}

start_node() {
	local name=$1 chat
	chat=$(chat_of "$name")
	# Passwords are in a file because all users can read command lines.
	(umask 077; cat >"$data/$name.toml" <<-END
		db = "mysql://chatd:$(secret db.password)@127.0.0.1:$db_port/chat"
		redis = "redis://:$(secret redis.password)@127.0.0.1:$redis_port"
		node = "$name"
		http = "$(http_of "$name")"
		health = "$(health_of "$name")"
		proxy-protocol = ["127.0.0.1/32"]
	END
	)
	[ -x "$chatd" ] || die "$chatd not found: run make build"
	launch "$name" "$chatd" "${chat%:*}" "${chat#*:}" --config "$data/$name.toml"
	await "$name" ready "$(health_of "$name")"
}

start_nginx() {
	local module=/usr/lib/nginx/modules/ngx_stream_module.so globals="daemon off; pid $data/run/nginx;" edits=() n
	mkdir -p "$data/nginx"
	if [ ! -s "$data/tls.crt" ]; then
		say "creating a self-signed certificate for localhost"
		(umask 077; openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 825 -subj /CN=localhost \
			-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout "$data/tls.key" -out "$data/tls.crt" 2>"$data/log/openssl.log") ||
			die "openssl failed, see $data/log/openssl.log"
	fi
	for n in $nodes; do
		edits+=(-e "s|@CHAT${n#node}@|$(chat_of "$n")|" -e "s|@HTTP${n#node}@|$(http_of "$n")|")
	done
	# Raise the soft limit of open files to the hard limit, which only root may raise.
	ulimit -n "$(ulimit -Hn)"
	sed "${edits[@]}" -e '/^worker_rlimit_nofile/d' -e "s|@LISTEN@|127.0.0.1|; s|@CHAT_PORT@|$chat_port|; s|@TLS_PORT@|$tls_port|; s|@WEB_PORT@|$web_port|" \
		-e "s|@CERT@|$data/tls.crt|; s|@KEY@|$data/tls.key|; s|@FOLDER@|$data/nginx|" "$top/deploy/nginx.conf" >"$data/nginx.conf"
	[ ! -e $module ] || globals="load_module $module; $globals"
	rm -f "$data/run/nginx"
	launch nginx nginx -p "$data/nginx/" -c "$data/nginx.conf" -e "$data/log/nginx.log" -g "$globals"
	await nginx test -s "$data/run/nginx" # nginx writes this file when it listens on all ports
}

start() {
	local pid
	if pid=$(pid_of "$1"); then
		say "$1 is already running (process $pid)"
		return
	fi
	case $1 in
	node*) start_node "$1" ;;
	*) "start_$1" ;;
	esac
	say "$1 started (process $(pid_of "$1"))"
}

stop() {
	local pid end=$((SECONDS + timeout))
	if ! pid=$(pid_of "$1"); then
		rm -f "$data/run/$1.pid"
		return
	fi
	kill -TERM "$pid"
	while pid_of "$1" >/dev/null; do
		[ $SECONDS -lt $end ] || { say "$1 doesn't stop after $timeout s, killing it"; kill -KILL "$pid"; end=$((SECONDS + timeout)); }
		sleep 0.1
	done
	rm -f "$data/run/$1.pid"
	say "$1 stopped"
}

up() {
	local packages name
	packages=$(missing_services; command -v openssl >/dev/null || echo openssl)
	if [ -n "$packages" ]; then
		can_install || die "install these packages first:" $packages
		say "installing missing packages:" $packages
		install_packages $packages
		packages=$(missing_services)
		[ -z "$packages" ] || die "couldn't install:" $packages
	fi
	for name in $all; do start "$name"; done
	cat <<-END

		The cluster is running: MariaDB, Redis, three nodes and nginx.

		  Terminal client   bin/chat 127.0.0.1 $chat_port
		  Web client        https://localhost:$web_port/
		  Clients with TLS  127.0.0.1:$tls_port (certificate: $data/tls.crt)
		  Metrics           $(for n in $nodes; do printf 'http://%s/metrics ' "$(health_of $n)"; done)
		  Logs              $data/log

		Stop it with make cluster-down. Its data is kept in $data.
	END
}

down() {
	local name
	for name in $(printf '%s\n' $all | tac); do stop "$name"; done
}

status() {
	local name pid failed=0
	for name in $all; do
		if pid=$(pid_of "$name"); then echo "$name: running (process $pid)"; else echo "$name: stopped"; failed=1; fi
	done
	return $failed
}

# known NAME exits unless NAME is a service.
known() { case " $all " in *" ${1:-} "*) ;; *) die "unknown service \"${1:-}\": must be one of $all" ;; esac; }

# lock makes other runs of this script wait. Two that start the same service would fail.
lock() {
	mkdir -p "$data" && chmod 700 "$data" && mkdir -p "$data/run" "$data/log"
	exec 9>"$data/lock"
	flock 9
}

case ${1:-} in
up) lock; up ;;
down) [ ! -d "$data/run" ] || { lock; down; } ;;
status) status ;;
start | stop) known "${2:-}"; lock; "$1" "$2" ;;
health) known "${2:-}"; health_of "$2" ;;
*) sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "$0" >&2; exit 2 ;;
esac
