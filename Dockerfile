# The server with its supervisor and the command. Build: docker build -t backspace .
#
# In a container the `local` sandbox makes its own namespaces, which Docker's defaults forbid; at `docker run`:
#   --security-opt seccomp=unconfined --security-opt systempaths=unconfined --security-opt apparmor=unconfined
# Base images are arguments, so that they can be pinned by digest or come from a registry of your own.
ARG RUST_IMAGE=rust:1-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS dependencies
# `dev` is built in a third of the time and runs slower.
ARG PROFILE=release
ENV CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0
WORKDIR /source
# Dependencies first, against empty sources and without tests: this layer stays as long as the manifests do.
COPY Cargo.toml Cargo.lock build.rs ./
COPY proto proto
COPY scripts/supervisor.sh scripts/
COPY server/Cargo.toml server/
COPY client-cli/Cargo.toml client-cli/
COPY sandbox-supervisor/Cargo.toml sandbox-supervisor/
COPY eval/Cargo.toml eval/
RUN for crate in . server client-cli sandbox-supervisor eval; do \
        mkdir -p "$crate/src" && echo >"$crate/src/lib.rs" && echo 'fn main() {}' >"$crate/src/main.rs"; \
    done \
    && rm src/main.rs client-cli/src/lib.rs eval/src/lib.rs \
    && sed -i '/^\[\[test\]\]/,/^$/d; /^\[\[bench\]\]/,/^$/d' */Cargo.toml \
    && cargo build --locked --profile "$PROFILE" -p backspace-server -p backspace-cli \
    && PROFILE="$PROFILE" sh scripts/supervisor.sh

FROM dependencies AS build
# Said again: not every builder hands it on to a stage made of another.
ARG PROFILE=release
COPY . .
# Newer than what the empty sources made.
RUN find . -path ./target -prune -o -name '*.rs' -exec touch {} + \
    && cargo build --locked --profile "$PROFILE" -p backspace-server -p backspace-cli \
    && PROFILE="$PROFILE" sh scripts/supervisor.sh \
    && case $PROFILE in dev) folder=debug ;; *) folder=$PROFILE ;; esac \
    && cd "target/$folder" && install -D -t /programs backspace-server backspace backspace-supervisor

FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 backspace \
    && install -d -o backspace -g backspace -m 0700 /var/lib/backspace
COPY --from=build /programs/ /usr/local/bin/
USER backspace
ENV BACKSPACE_DATA_FOLDER=/var/lib/backspace
VOLUME /var/lib/backspace
EXPOSE 8000
STOPSIGNAL SIGTERM
# Open also where callers need a token. The shell's own sockets, so that no tool is added for it.
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000 && \
    printf 'GET /health HTTP/1.1\\r\\nhost: localhost\\r\\nconnection: close\\r\\n\\r\\n' >&3 && grep -q '\"status\":\"healthy\"' <&3"]
ENTRYPOINT ["backspace-server"]
