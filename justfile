# The recipes, when none is named.
default:
    @just --list --unsorted

# Serve on the settings of the environment; the address is printed.
run:
    cargo run --locked

# Everything that CI runs, on both shapes and in a browser.
test:
    ./tests/run

# Format and lints, without a test.
lint:
    cargo fmt --check
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Print the schema from the code into schema.graphql.
schema:
    cargo build --locked
    cargo run --quiet --locked -- schema > schema.graphql

# Build GraphiQL. A server that runs serves it from then on: reload the page.
graphiql:
    npm --prefix api/web/graphiql run setup

# The figures of the release binary; needs wrk.
bench:
    cargo build --release --locked
    cargo bench --locked -p qv_tests

# Two nodes, PostgreSQL, Redis, Prometheus and Grafana; needs Docker and the passwords that compose.yaml asks for.
up:
    docker compose up --build
