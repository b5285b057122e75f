#!/bin/sh
# Part: Network of a sandbox: each ordinary tool, shut out and through the proxy
set -eu
if [ "${1:-}" = --needs ]; then
    for tool in curl:curl python3:python3 ip:iproute2 wget:wget nc:netcat-openbsd ping:iputils-ping ssh:openssh-client; do
        command -v "${tool%%:*}" >/dev/null 2>&1 || { echo "${tool%%:*} is not installed (Debian: ${tool#*:})"; exit 77; }
    done
    # The other netcat can't speak to a proxy.
    nc -h 2>&1 | grep -e '-X' >/dev/null || { echo "nc is not OpenBSD's (Debian: netcat-openbsd)"; exit 77; }
    exit 0
fi
exec "${CARGO:-cargo}" test --locked -p backspace-server --test sandbox_network -- --include-ignored
