# The server with its supervisor and the command. Build: docker build -t backspace .
#
# In a container the `local` sandbox needs, at `docker run`:
#   --security-opt seccomp=unconfined --security-opt systempaths=unconfined
ARG RUST_IMAGE=rust:1-bookworm
ARG BASE_IMAGE=debian:bookworm-slim

FROM ${RUST_IMAGE} AS build
WORKDIR /source
COPY . .
RUN cargo build --locked --release -p backspace-server -p backspace-cli \
    && PROFILE=release sh scripts/supervisor.sh

FROM ${BASE_IMAGE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates git \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 backspace \
    && mkdir -p /var/lib/backspace && chown backspace:backspace /var/lib/backspace
COPY --from=build /source/target/release/backspace-server /source/target/release/backspace /source/target/release/backspace-supervisor /usr/local/bin/
USER backspace
ENV BACKSPACE_DATA_FOLDER=/var/lib/backspace
VOLUME /var/lib/backspace
EXPOSE 8000
ENTRYPOINT ["backspace-server"]
