# What deploy/try is made of: helpers that start containers, ask the gateway, and check the answers.

port=${LASTRO_PORT:-8080}
readme_order='{"customer_id": "123456", "products": [{"product_id": "789", "quantity": 2, "price": 19.99}]}'
answer=$(mktemp -d)
export LASTRO_SECRETS=$answer/secrets LASTRO_SUBNET=${LASTRO_SUBNET:-172.16.81.0/24}
# Of the form that is tried: its compose project and files, the key of its clients, its orders, and how
# many others were placed in the background.
project='' files=() key='' orders=() others=0

if docker compose version >/dev/null 2>&1; then tool=(docker compose); else tool=(docker-compose); fi
compose() { "${tool[@]}" -p "$project" "${files[@]}" "$@"; }

step() { printf '\n== %s ==\n' "$*"; }
saw() { printf '   %s\n' "$*"; }
fail() {
    echo "deploy/try: $*" >&2
    [ -z "$project" ] || compose logs --tail=20 >&2 || true
    exit 1
}

tear_down() {
    [ -n "$project" ] || return 0
    compose --profile tools down -v >"$answer/down" 2>&1 && return
    echo "deploy/try: could not tear down $project:" >&2
    tail -n 2 "$answer/down" >&2
}
end() {
    rm -f "$answer/steady"
    if [ "${KEEP:-}" = 1 ]; then
        echo "deploy/try: $project is kept, and its passwords are in $LASTRO_SECRETS" >&2
        return
    fi
    tear_down
    rm -rf "$answer"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# await SECONDS WHAT COMMAND…: repeats the command until it succeeds.
await() {
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $deadline ] || fail "timed out: $what"
        sleep 0.2
    done
}

# ask METHOD PATH [JSON [HEADER…]]: sets status and writes the files headers and body. status is 000
# without an answer.
ask() {
    local options=(-s -m 15 -X "$1" -D "$answer/headers" -o "$answer/body" -w '%{http_code}') path=$2 header
    [ -z "${3:-}" ] || options+=(-H 'content-type: application/json' -d "$3")
    [ -z "$key" ] || options+=(-H "authorization: Bearer $key")
    shift 2
    [ $# = 0 ] || shift
    for header; do options+=(-H "$header"); done
    : >"$answer/headers" >"$answer/body"
    status=$(curl "${options[@]}" "http://127.0.0.1:$port$path") || true
}
body() { cat "$answer/body"; }
expect() { # STATUS, then the arguments of ask
    local wanted=$1
    shift
    ask "$@"
    [ "$status" = "$wanted" ] || fail "$1 $2: $status instead of $wanted: $(body)"
}
answers() { # the same, as a condition
    local wanted=$1
    shift
    ask "$@"
    [ "$status" = "$wanted" ]
}
member() { grep -o "\"$1\":[^,}]*" "$answer/body" | head -n 1 | cut -d: -f2- | tr -d '"'; }

# Places the order of the README. It must be accepted whichever other containers are down.
place_order() {
    expect 200 POST /api/orders "$readme_order"
    orders+=("$(member order_id)")
    saw "200 $(body)"
}
has_status() { # STATUS ORDER
    ask GET "/api/orders/$2"
    [ "$status" = 200 ] && [ "$(member status)" = "$1" ]
}
all_confirmed() {
    local order
    for order in "${orders[@]}"; do await 120 "order $order is confirmed" has_status confirmed "$order"; done
    saw "all ${#orders[@]} orders are confirmed, $((SECONDS - began)) s later"
}
# Whether a client gets the expected problem while a service is down.
is_down() {
    ask "$@"
    [ "$status" = 503 ] && grep -qi '^retry-after: ' "$answer/headers" &&
        grep -qi '^content-type: application/problem+json' "$answer/headers" && [ "$(member code)" = outcome_unknown ]
}

# NAME is a service, with all its replicas; NAME/1 and NAME/2 are replicas.
containers() {
    local name=${1%/*} which=p
    [ "$name" = "$1" ] || which=${1#*/}p
    compose ps -q "$name" | sed -n "$which"
}
are_healthy() {
    local id
    for id in $(containers "$1"); do
        [ "$(docker inspect -f '{{.State.Health.Status}}' "$id")" = healthy ] || return 1
    done
}
healthy() { local name; for name; do await 120 "$name is healthy" are_healthy "$name"; done; }
# Docker does not restart a container that the user killed: it stays down until `back`.
down() {
    local name
    for name; do
        killed[$name]=$(containers "$name")
        docker kill -s KILL ${killed[$name]} >/dev/null
    done
}
back() {
    local name
    began=$SECONDS
    for name; do docker start ${killed[$name]} >/dev/null; done
}
declare -A killed

build() {
    if [ "${BUILD:-1}" = 1 ]; then
        local began=$SECONDS
        compose build
        saw "the image was built in $((SECONDS - began)) s"
    fi
}
# start FORM SERVICE…: starts it on a project of its own and waits for these services. `wanted` names
# the services that are started with what they depend on, all unless set.
wanted=''
start() {
    project=lastro-try-$1 orders=() others=0 key=''
    shift
    tear_down
    build
    local began id image
    began=$(date +%s%N)
    compose up -d --no-build $wanted
    healthy "$@"
    saw "all are healthy $((($(date +%s%N) - began) / 1000000)) ms after up"
    for id in $(compose ps -q); do docker inspect -f '{{.Config.Image}}' "$id"; done | sort -u |
        while read -r image; do saw "$image: $(docker image inspect -f '{{.Size}}' "$image") bytes"; done
}

no_password_is_shown() {
    local id secret
    compose logs >"$answer/log" 2>&1
    for id in $(compose ps -q); do docker inspect "$id"; done >"$answer/containers"
    cat "$LASTRO_SECRETS"/*-url "$LASTRO_SECRETS"/*password* "$LASTRO_SECRETS/nats-cluster.conf" |
        grep -oE '[0-9a-f]{64}' | sort -u >"$answer/known"
    for file in log containers; do
        if grep -qFf "$answer/known" "$answer/$file"; then fail "the $file show a password"; fi
    done
    saw "none of $(wc -l <"$answer/known") passwords"
}
containers_are_hardened() {
    local id got
    for id in $(compose ps -q); do
        got=$(docker inspect -f '{{.HostConfig.ReadonlyRootfs}} {{.HostConfig.CapDrop}} {{.HostConfig.SecurityOpt}} {{.HostConfig.Privileged}}' "$id")
        [ "$got" = "true [ALL] [no-new-privileges:true] false" ] || fail "$(docker inspect -f '{{.Name}}' "$id"): $got"
    done
    saw "$(compose ps -q | wc -l) containers: read-only, without capabilities, no new privileges"
}
# Every replica gets some of ten requests.
replicas_answer() { # STATUS PATH
    local number
    for number in 1 2 3 4 5 6 7 8 9 10; do answers "$1" GET "$2" || return 1; done
}
# A client that is refused may ask only a few times per second.
key_is_refused() {
    local number
    for number in 1 2 3 4; do
        answers 401 GET /api/orders || return 1
        sleep 0.5
    done
}
make_key() {
    expect 401 POST /api/orders "$readme_order"
    saw "without a key: 401 $(member code)"
    key=$(compose run --rm -T keys create --name try \
        --scope orders:write,orders:read,stock:read,stock:receive,catalog:write 2>/dev/null | tr -d '\r')
    [[ $key == lsk_live_* ]] || fail "lastro keys create printed no key"
    await 15 "the key is accepted" replicas_answer 200 /api/orders
    await 15 "the key is accepted" replicas_answer 200 /api/inventory/products
    saw "with a key: 200"
}
receive_stock() {
    expect 201 PUT /api/inventory/products/789 '{"name": "Coffee, ground, 500 g", "low_stock_at": 5}'
    expect 201 POST /api/inventory/products/789/movements "{\"kind\": \"receive\", \"quantity\": $1}" 'idempotency-key: delivery-2291'
    saw "$(body)"
}
check_the_stock() {
    expect 200 GET /api/inventory/products/789
    saw "$(body)"
    local placed=$((${#orders[@]} + others))
    [ "$(member reserved)" = $((2 * placed)) ] ||
        fail "$placed orders of 2 units each, but $(member reserved) units are reserved"
    saw "$placed orders of 2 units each"
}
audit() {
    compose run --rm -T verify lastro verify --settled
}
stop() { # SERVICE…: must exit with code 0
    local id stopped=() name
    for name; do stopped+=($(containers "$name")); done
    compose stop
    for id in "${stopped[@]}"; do
        saw "$(docker inspect -f '{{.Name}}: exit code {{.State.ExitCode}}' "$id")"
        [ "$(docker inspect -f '{{.State.ExitCode}}' "$id")" = 0 ] || fail "a program did not exit with code 0"
    done
}
publishes_nothing_else() {
    local name file path
    for name in orders inventory; do
        expect 200 GET "/$name/openapi.json"
        grep -q "\"/api/$name" "$answer/body" || fail "/$name/openapi.json does not describe /api/$name"
        expect 200 GET "/$name/asyncapi.json"
        expect 200 GET "/$name/docs"
        # The page's links are relative.
        for file in $(grep -o 'docs/[a-z.-]*' "$answer/body"); do expect 200 GET "/$name/$file"; done
        saw "/$name/docs and its files: 200"
    done
    expect 200 GET /
    for file in $(grep -o 'dashboard/[a-zA-Z0-9/._-]*' "$answer/body"); do expect 200 GET "/$file"; done
    expect 200 GET /dashboard/config.json
    saw "the dashboard and its files: 200"
    for path in /metrics /readyz /orders/metrics /inventory/api/orders; do
        expect 404 GET "$path"
        [ "$(member code)" = not_found ] || fail "$path: not the expected problem: $(body)"
    done
    saw "/metrics and others: $status $(body)"
}
nats_loses_its_data() { # VOLUME…
    local volume
    compose rm -f -s nats
    for volume; do docker volume rm "${project}_$volume"; done
    place_order
    began=$SECONDS
    compose up -d --no-build nats
    place_order
    all_confirmed
    healthy nats
}

# Places orders one after the other in the background until `steady_ends`, which says what was answered.
steady_begins() {
    : >"$answer/steady"
    (
        number=0
        while [ -e "$answer/steady" ]; do
            number=$((number + 1))
            curl -s -m 15 -o "$answer/steady-body" -w '%{http_code}\n' -H "authorization: Bearer $key" \
                -H 'content-type: application/json' -H "idempotency-key: steady-$others-$number" \
                -d "$readme_order" "http://127.0.0.1:$port/api/orders" >>"$answer/statuses" || true
        done
    ) &
    steady=$!
}
steady_ends() {
    rm "$answer/steady"
    wait "$steady"
    steady=''
    local placed
    placed=$(grep -cx 200 "$answer/statuses") || true
    if grep -qvx 200 "$answer/statuses"; then
        fail "orders were not answered with 200: $(sort "$answer/statuses" | uniq -c | xargs) (count, status)"
    fi
    others=$((others + placed))
    rm "$answer/statuses"
    saw "$placed orders meanwhile, each answered with 200"
}
may_not() { # ROLE DATABASE SQL
    if docker exec "$(containers postgres)" psql -q -U "$1" -d "$2" -c "$3" >"$answer/sql" 2>&1; then
        fail "the role $1 may: $3"
    fi
    saw "$1: $(head -n 1 "$answer/sql")"
}
postgres_answers() { docker exec "$(containers postgres)" pg_isready -q -h 127.0.0.1; }

prometheus_says() { # QUERY VALUE
    curl -s -m 5 -G --data-urlencode "query=$1" "http://127.0.0.1:${LASTRO_PROMETHEUS_PORT:-9090}/api/v1/query" >"$answer/body"
    grep -q "\"$2\"\]}\]" "$answer/body"
}
collector_got_traces() { compose logs otel-collector 2>&1 | grep -qE 'Traces.*spans'; }
