# One image for every role: `docker run crosspoint proxy`, `crosspoint router`, and so on.
FROM rust:1-bookworm AS build
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --locked --release --package crosspoint && cp target/release/crosspoint /crosspoint

FROM debian:bookworm-slim
RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends libpocketsphinx3 pocketsphinx-en-us \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/crosspoint --create-home crosspoint
COPY --from=build /crosspoint /usr/local/bin/crosspoint
USER crosspoint
ENTRYPOINT ["crosspoint"]
