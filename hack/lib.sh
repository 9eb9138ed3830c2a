# shellcheck shell=bash
# What every script in hack/ shares. Sourced, never run; the caller has `set -euo pipefail`.
#
# Owns: where state lives (MCP_CACHE), how progress is shown, locks, input hashes and
# background processes. Promises: progress goes to stderr, so stdout stays for results.

HACK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
REPO=$(dirname "$HACK")
MCP_CACHE=${MCP_CACHE:-$REPO/.cache}
mkdir -p "$MCP_CACHE"
MCP_CACHE=$(cd "$MCP_CACHE" && pwd)
export MCP_CACHE
. "$HACK/versions.sh"
PATH=$MCP_CACHE/bin:$PATH

say() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

# usage TEXT: the command line is wrong. Exit status 2, as the shell's own commands do.
usage() {
    printf 'usage: %s\n' "$*" >&2
    exit 2
}

have() { command -v "$1" >/dev/null 2>&1; }

# as_root COMMAND...: as it is for root, else by sudo, else an error that names the command.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif have sudo; then
        sudo "$@"
    else
        die "needs root (or sudo) to run: $*"
    fi
}

need_root() { [ "$(id -u)" = 0 ] || die "$* (run it as root)"; }

need_go() {
    have go || die "Go 1.25 or newer is needed; install it from the Go project's own archive" \
        "(a distribution's package is often too old) and put its bin folder on PATH"
    local version minor
    version=$(go env GOVERSION)
    minor=${version#go1.}
    minor=${minor%%[!0-9]*}
    [ "${minor:-0}" -ge 25 ] || die "Go 1.25 or newer is needed, this is $version"
}

# hold_lock NAME|/PATH: wait until no other script holds it; held until this script ends. A
# script that was called by the holder goes on: it works on the holder's behalf.
hold_lock() {
    local fd file=$MCP_CACHE/locks/$1
    case $1 in /*) file=$1 ;; esac
    case " ${LOCK_NAMES:-} " in *" $1 "*) return ;; esac
    mkdir -p "$MCP_CACHE/locks"
    exec {fd}>"$file"
    if ! flock -n "$fd"; then
        say "waiting for another run ($1)"
        flock "$fd"
    fi
    export LOCKS="${LOCKS:-} $fd" LOCK_NAMES="${LOCK_NAMES:-} $1"
}

# without_locks COMMAND...: for what outlives the script; it would keep its locks held.
without_locks() (
    for fd in ${LOCKS:-}; do eval "exec $fd>&-"; done
    unset LOCKS LOCK_NAMES
    exec "$@"
)

# lower_priority COMMAND...: long builds leave the machine usable. Takes shell functions too.
lower_priority() (
    renice -n 10 -p "$BASHPID" >/dev/null 2>&1 || true
    "$@"
)

# timed WHAT COMMAND...: one line with the seconds that it took.
timed() {
    local what=$1 start=$SECONDS
    shift
    "$@"
    say "$what: $((SECONDS - start)) s"
}

# hash_of ITEM...: one hash of files, folders and plain strings, the same on every machine.
hash_of() {
    local item
    for item; do
        if [ -d "$item" ]; then
            (cd "$item" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
        elif [ -f "$item" ]; then
            sha256sum <"$item"
        else
            printf '%s\n' "$item"
        fi
    done | sha256sum | cut -c1-16
}

# background PIDFILE LOG COMMAND...: in a session of its own, so that it outlives this script
# and a Ctrl-C meant for it. The process keeps no lock and no open file of the caller.
background() {
    local pidfile=$1 log=$2
    shift 2
    # exec after the pid is written: the pid is the command's own.
    # shellcheck disable=SC2016  # expanded by the inner shell
    without_locks setsid -f bash -c 'echo $$ >"$0"; exec "$@"' "$pidfile.new" "$@" \
        </dev/null >>"$log" 2>&1
    until [ -s "$pidfile.new" ]; do sleep 0.02; done
    # The start time beside the pid tells our process from a later one with the same pid.
    local pid
    pid=$(cat "$pidfile.new")
    echo "$pid $(started_at "$pid")" >"$pidfile"
    rm "$pidfile.new"
}

# started_at PID: ticks since boot at which it started; empty when there is none.
started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20 || true; }

# alive PIDFILE: is the process that `background` noted there still that process?
alive() {
    local pid start
    read -r pid start 2>/dev/null <"$1" || return 1
    [ -n "$start" ] && [ "$(started_at "$pid")" = "$start" ] &&
        ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" 2>/dev/null
}

# end PIDFILE [SECONDS]: asks it to end, insists after SECONDS (10). Only ever our own process.
end() {
    local pidfile=$1 seconds=${2:-10} pid _
    if alive "$pidfile"; then
        read -r pid _ <"$pidfile"
        kill -TERM "$pid" 2>/dev/null || true
        wait_for "$seconds" gone "$pidfile" || kill -KILL "$pid" 2>/dev/null || true
        wait_for 5 gone "$pidfile" || die "process $pid does not end"
    fi
    rm -f "$pidfile"
}

gone() { ! alive "$1"; }

# wait_for SECONDS COMMAND...: polls until it succeeds; fails when the time is over.
wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || return 1
        sleep 0.1
    done
}

# free_ports N: N different TCP ports that are free on loopback now.
free_ports() {
    python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))
PYTHON
}

image_id() { docker image inspect --format '{{.Id}}' "$1" 2>/dev/null; }

# image_label NAME: the hash of inputs that an image of ours was built from.
image_label() { docker image inspect --format '{{index .Config.Labels "mastercontrol.inputs"}}' "$1" 2>/dev/null; }

# import_tree IMAGE TREE OVERLAY CHANGE...: an image of TREE with OVERLAY's files over it. Hard
# links make the union cheap; replacing a file in it leaves TREE's own alone.
import_tree() {
    local image=$1 tree=$2 overlay=$3 union=$3.union changes=() change old
    shift 3
    old=$(image_id "$image") || true
    for change; do changes+=(-c "$change"); done
    rm -rf "$union"
    cp -al "$tree" "$union"
    cp -a --remove-destination "$overlay/." "$union/"
    tar -c -C "$union" . | docker import "${changes[@]}" - "$image" >/dev/null
    rm -rf "$union"
    # One that nothing uses any more; Docker refuses to remove any other.
    [ -z "$old" ] || docker rmi "$old" >/dev/null 2>&1 || true
}

# pull IMAGE: true when a registry answered in time. A machine without one finds out once:
# the answer is remembered for an hour, so that each image does not wait for its own limit.
pull() {
    local silent=$MCP_CACHE/no-registry
    [ -z "$(find "$silent" -mmin -60 2>/dev/null)" ] || return 1
    say "pulling $1"
    # Twenty seconds to show that a registry answers at all, then time for a slow line.
    if timeout 20 docker manifest inspect "$1" >/dev/null 2>&1 &&
        timeout 600 docker pull --quiet "$1" >/dev/null; then
        return 0
    fi
    say "no image registry answers: $1 is made here from packages instead"
    touch "$silent"
    return 1
}

# rabbitmq_version [FOLDER]: of the broker that the system has installed; empty when it has none.
rabbitmq_version() {
    local folder=${1:-/usr/lib/rabbitmq/lib}
    [ -d "$folder" ] || return 0 # find would fail, and with it the pipe and the script
    find "$folder" -maxdepth 1 -name 'rabbitmq_server-*' | sed 's/.*rabbitmq_server-//'
}
