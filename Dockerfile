# meltd in a small image: no shell commands, no compiler, no test mint, no root.
#
#   docker build -t meltd .

FROM rust:1.89-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src src
# The benches and examples are named in the manifest; the binary needs none of them.
COPY benches benches
COPY examples examples
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin meltd && cp target/release/meltd /meltd
# A folder that the user of the next stage may write to, for the seed.
RUN mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /meltd /usr/local/bin/meltd
COPY --from=build --chown=65532:65532 --chmod=0700 /data /data
VOLUME /data
ENV XDG_DATA_HOME=/data MELTD_LOG_FORMAT=json MELTD_LOG=meltd=info
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/meltd"]
CMD ["serve"]
