# The recipes, when none is named.
default:
    @just --list --unsorted

# Serve on the settings of the environment; the address is printed.
run:
    cargo run --locked

# Format, lints and unit tests; starts no server.
check:
    cargo fmt --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo nextest run --workspace --lib --bins --locked

# Tests of the whole system on SQLite: those whose name contains one of these, or all.
it *names:
    cargo build --workspace --all-targets --locked
    env --unset=QV_TEST_DATABASE_URL --unset=QV_TEST_REDIS_URL cargo nextest run -p qv_tests --locked {{ names }}

# All tests on PostgreSQL and Redis, or those whose name contains one of these; CONTRIBUTING.md says how to start both.
clustered *names:
    @: "${QV_TEST_DATABASE_URL:?see CONTRIBUTING.md}" "${QV_TEST_REDIS_URL:?see CONTRIBUTING.md}"
    cargo build --workspace --all-targets --locked
    cargo nextest run --workspace --profile clustered --locked {{ names }}

# Everything that CI runs, on both shapes and in a browser.
test:
    ./tests/run

# Print the schema from the code into schema.graphql.
schema:
    cargo build --locked
    cargo run --quiet --locked -- schema > schema.graphql

# Build GraphiQL. A server that runs serves it from then on: reload the page.
graphiql:
    npm --prefix api/web/graphiql run setup

# Measure the `dist` binary; needs wrk. `just bench workloads W2` measures one work; docs/performance.md has the others.
bench *ARGUMENTS:
    cargo build --profile dist --locked
    cargo bench --profile dist --locked -p qv_tests -- {{ARGUMENTS}}

# Two nodes, PostgreSQL, Redis, Prometheus and Grafana; needs Docker and the passwords that compose.yaml asks for.
up:
    docker compose up --build
