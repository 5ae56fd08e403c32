-- Posts one GraphQL query with a bearer token; both come from the environment.
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer " .. os.getenv("BENCH_TOKEN")
wrk.body = '{"query":"' .. os.getenv("BENCH_QUERY") .. '"}'
