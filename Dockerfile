# One image with both programs: poolwright-operator and poolwright-pooler.
#
#   from source (default):   docker build -t poolwright .
#   from built binaries:     make build && docker build --target ship -t poolwright .
#
# Both bases are arguments, so that the same file builds with a registry and
# without one. The shipping stage comes first and runs nothing: builders that
# walk all stages in order stop there, and any base with glibc will do.

ARG RUST_BASE=docker.io/library/rust:1.95-bookworm
ARG BASE=docker.io/library/debian:bookworm-slim

FROM ${BASE} AS ship
LABEL org.opencontainers.image.title="poolwright" \
      org.opencontainers.image.description="PostgreSQL pooler and its Kubernetes operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY dist/poolwright-operator dist/poolwright-pooler /usr/local/bin/
USER 65532:65532
EXPOSE 6432 9187
ENTRYPOINT []
CMD ["/usr/local/bin/poolwright-pooler", "/etc/poolwright/settings/settings.yaml"]

FROM ${RUST_BASE} AS build
WORKDIR /source
COPY . .
ENV RUSTFLAGS=-Cprofile-use=/source/pooler/usual.profdata
# Each by itself, as scripts/build.sh does.
RUN cargo build --release --locked -p poolwright-pooler \
 && cargo build --release --locked -p poolwright-operator \
 && mkdir /out \
 && for name in poolwright-operator poolwright-pooler; do \
      strip --strip-debug -o "/out/$name" "target/release/$name"; \
    done

FROM ${BASE} AS from-source
LABEL org.opencontainers.image.title="poolwright" \
      org.opencontainers.image.description="PostgreSQL pooler and its Kubernetes operator" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/poolwright-operator /out/poolwright-pooler /usr/local/bin/
USER 65532:65532
EXPOSE 6432 9187
ENTRYPOINT []
CMD ["/usr/local/bin/poolwright-pooler", "/etc/poolwright/settings/settings.yaml"]
