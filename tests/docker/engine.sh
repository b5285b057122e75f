# Sourced: a Docker engine for a test. One that runs is used; else one is started, and ended by `engine_stop`.
engine_process=
engine_runs() { docker version >/dev/null 2>&1; }

# Says what is missing for an engine, or nothing.
engine_missing() {
    command -v docker >/dev/null 2>&1 || { echo "docker is not installed (Debian: docker.io)"; return; }
    engine_runs && return
    command -v dockerd >/dev/null 2>&1 || { echo "no Docker engine answers, and dockerd is not installed (Debian: docker.io)"; return; }
    [ "$(id -u)" = 0 ] || echo "no Docker engine answers, and only root can start one"
}

engine_start() { # LOG
    engine_runs && return
    # What an engine that was killed left behind.
    rm -f /var/run/docker.pid
    dockerd >"$1" 2>&1 </dev/null &
    engine_process=$!
    waited=0
    until engine_runs; do
        kill -0 "$engine_process" 2>/dev/null || { echo "dockerd ended:" >&2; tail -n 20 "$1" >&2; return 1; }
        waited=$((waited + 1)); [ "$waited" -le 300 ] || { echo "dockerd did not answer within 60 s" >&2; return 1; }
        sleep 0.2
    done
}

engine_stop() {
    [ -n "$engine_process" ] || return 0
    kill "$engine_process" 2>/dev/null && wait "$engine_process" 2>/dev/null || true
    engine_process=
}
