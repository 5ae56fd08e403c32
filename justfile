# List the recipes.
default:
    @just --list --unsorted

# Run the server with the settings of the environment; prints its address.
run:
    cargo run --locked

# Check the format and lints, and run the unit tests; starts no server.
check:
    cargo fmt --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    cargo nextest run --workspace --lib --bins --locked

# Test the complete system on SQLite: the tests whose name contains one of these, or all.
it *names:
    cargo build --workspace --all-targets --locked
    env --unset=QV_TEST_DATABASE_URL --unset=QV_TEST_REDIS_URL cargo nextest run -p qv_tests --locked {{ names }}

# Run all tests on PostgreSQL and Redis, or those with these names; CONTRIBUTING.md describes how to start both.
clustered *names:
    @: "${QV_TEST_DATABASE_URL:?see CONTRIBUTING.md}" "${QV_TEST_REDIS_URL:?see CONTRIBUTING.md}"
    cargo build --workspace --all-targets --locked
    cargo nextest run --workspace --profile clustered --locked {{ names }}

# Run everything that CI runs: on SQLite, on PostgreSQL and Redis, and in a browser.
test:
    ./tests/run

# Print the schema from the code into schema.graphql.
schema:
    cargo build --workspace --all-targets --locked
    target/debug/quantumvault schema > schema.graphql

# Write the generated pages of docs/reference, and compare the others with the code.
reference:
    cargo build --workspace --all-targets --locked
    QV_BLESS=1 cargo nextest run -p qv_tests --locked ops::reference

# Build GraphiQL. A running server serves the new build; reload the page.
graphiql:
    npm --prefix api/web/graphiql run setup

# Measure the `dist` binary; needs wrk. `just bench workloads W2` measures one work; see docs/performance.md.
bench *ARGUMENTS:
    cargo build --profile dist --locked
    cargo bench --profile dist --locked -p qv_tests -- {{ARGUMENTS}}

# Start two nodes, PostgreSQL, Redis, Prometheus and Grafana; needs Docker and the passwords for compose.yaml.
up:
    docker compose up --build
