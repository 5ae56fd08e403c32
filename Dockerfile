# syntax=docker/dockerfile:1
# An image with the binary, the C library and well-known root certificates, and without a shell.

# GraphiQL, which shares files with the explorer.
FROM node:24-bookworm-slim AS graphiql
WORKDIR /web
COPY api/web/ ./
RUN --mount=type=cache,target=/npm npm_config_cache=/npm npm --prefix graphiql run setup

# The binary. All stages use Debian 12, so that they have one C library.
FROM rust:1.95.0-bookworm AS build
# The image contains this toolchain. Without the variable, rustup would fetch components that only developers need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /build
COPY . ./
# Caches are not part of the image, so the binary is copied out in this step.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --profile dist --locked --package quantumvault \
    && install -D --mode=755 target/dist/quantumvault /out/quantumvault \
    && mkdir /out/data

FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="QuantumVault" \
      org.opencontainers.image.description="The GraphQL backend of an end-to-end encrypted messenger" \
      org.opencontainers.image.licenses="MIT"
COPY --from=build /out/quantumvault /usr/local/bin/quantumvault
COPY --from=graphiql /web/graphiql/dist/ /usr/local/share/quantumvault/graphiql/
# A new volume inherits its owner from this folder: the image's user.
COPY --from=build --chown=65532:65532 /out/data/ /var/lib/quantumvault/
# The server creates this folder below the volume, for its owner only. Volumes often have permissions for a group.
ENV QUANTUMVAULT__DATA_DIR=/var/lib/quantumvault/node \
    QUANTUMVAULT__GRAPHQL__GRAPHIQL_DIR=/usr/local/share/quantumvault/graphiql \
    QUANTUMVAULT__HTTP__LISTEN=0.0.0.0:8000 \
    QUANTUMVAULT__LOG__FORMAT=json
USER 65532:65532
VOLUME /var/lib/quantumvault
# 8000 is for clients. 9000 is for operators, once QUANTUMVAULT__OPERATIONS__LISTEN=0.0.0.0:9000 opens it.
EXPOSE 8000 9000
# No HEALTHCHECK: it would need an HTTP client in the image. Probe /health/ready from outside.
# SIGTERM lets requests finish for http.drain_seconds (10) at most. Give `docker stop` more time than that.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/quantumvault"]
CMD ["serve"]
