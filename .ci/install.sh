#!/bin/sh
# Installs what the whole test suite needs on Debian or Ubuntu; safe to repeat.
set -eu
export DEBIAN_FRONTEND=noninteractive
packages=
need() { command -v "$1" >/dev/null 2>&1 || packages="$packages $2"; }
need git git
need cc gcc
need c++ g++
need perl perl
need runuser util-linux
need setpriv util-linux
need ip iproute2
need curl curl
need python3 python3
need unshare util-linux
need wget wget
need nc netcat-openbsd
need ping iputils-ping
need ssh openssh-client
need node nodejs
python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3-venv"
python3 -m pip --version >/dev/null 2>&1 || packages="$packages python3-pip"
need npm npm
need unzip unzip
need javac default-jdk-headless
need mvn maven
need grpc_java_plugin protobuf-compiler-grpc-java-plugin
need chromium chromium
need docker docker.io
need dockerd docker.io
need containerd containerd
need docker-registry docker-registry
need mkfs.ext4 e2fsprogs
need mmdebstrap mmdebstrap
need openssl openssl
need docker-compose docker-compose
need systemd-analyze systemd
[ -e /usr/lib/git-core/git-http-backend ] || packages="$packages git"
if [ -n "$packages" ]; then
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install -y -qq $packages
fi
go_tool() { command -v "$1" >/dev/null 2>&1 || go install "$2"; }
go_tool buf github.com/bufbuild/buf/cmd/buf@v1.75.0
go_tool grpcurl github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4
go_tool grpc-health-probe github.com/grpc-ecosystem/grpc-health-probe@v0.4.61
go_tool ghz github.com/bojand/ghz/cmd/ghz@v0.93.0
sh tests/real_projects/fetch.sh "${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/packages"
sh tests/image/compose.sh "${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/compose-2.40.3"
sh tests/github/fetch.sh "${BACKSPACE_CI_CACHE:-$HOME/.cache/backspace-ci}/github"
