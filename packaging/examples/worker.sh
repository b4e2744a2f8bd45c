#!/usr/bin/env bash
# A worker in bash with curl and sed: claims a job, does it, says how it ended.
#
#   PLIMSOLL_URL=http://127.0.0.1:3002 ./worker.sh mail ./do-it.sh
#
# The command gets the job as JSON on its standard input. What it writes to its standard output, one
# JSON value or nothing, becomes the job's result; if it ends with another code than 0, the attempt
# has failed, with what it wrote to its standard error. Code 75 means: another attempt makes no sense.
set -u

base="${PLIMSOLL_URL:-http://127.0.0.1:3002}/api/v1/performance/jobs"
queue="${1:?say which queue}"
shift
[ $# -gt 0 ] || { echo "say which command does a job" >&2; exit 2; }
lease_ms=30000
stopping=
trap 'stopping=1' INT TERM

auth=()
[ -z "${PLIMSOLL_TOKEN:-}" ] || auth=(-H "authorization: Bearer $PLIMSOLL_TOKEN")

post() { # path, body
    curl --silent --show-error --max-time 40 "${auth[@]}" -H 'content-type: application/json' \
        --data-binary @- "$base/$queue$1" <<<"$2"
}

# A text as JSON, without what JSON does not take.
quoted() { tr -d '\000-\010\013-\037' | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e 's/\t/\\t/g' | sed -e ':a' -e 'N' -e '$!ba' -e 's/\n/\\n/g'; }

# One percent-encoded: an id may hold any sign.
encoded() { printf %s "$1" | od -An -v -tx1 | tr -d ' \n' | sed 's/../%&/g'; }

folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT

while [ -z "$stopping" ]; do
    if ! claimed="$(post /claim '{"max":1,"waitMs":2000,"leaseMs":'"$lease_ms"',"worker":"bash-'"$$"'"}')"; then
        sleep 1
        continue
    fi
    # {"items":[{"job":{"id":"…",…},"leaseUntil":…,"token":"…"}]}
    token="$(sed -n 's/.*"token":"\([0-9a-f]*\)"}\]}$/\1/p' <<<"$claimed")"
    job="$(sed -n 's/^{"items":\[{"job":\(.*\),"leaseUntil":[0-9]*,"token":"[0-9a-f]*"}\]}$/\1/p' <<<"$claimed")"
    id="$(sed -n 's/^{"id":"\(\([^"\\]\|\\.\)*\)".*/\1/p' <<<"$job" | sed 's/\\\(["\\]\)/\1/g')"
    if [ -z "$token" ] || [ -z "$id" ]; then
        # Nothing to do, or no such queue yet: it is made with its first job.
        grep -q '"code":"unknown-queue"' <<<"$claimed" && sleep 1
        continue
    fi
    path="/$(encoded "$id")"
    # Whoever is silent for longer than the lease loses the job to another worker.
    (while sleep $((lease_ms / 3000)); do
        post "$path/heartbeat" '{"token":"'"$token"'","leaseMs":'"$lease_ms"'}' >/dev/null || break
    done) &
    beat=$!
    "$@" <<<"$job" >"$folder/out" 2>"$folder/err"
    code=$?
    kill "$beat" 2>/dev/null
    wait "$beat" 2>/dev/null
    if [ $code -eq 0 ]; then
        result="$(cat "$folder/out")"
        post "$path/complete" '{"token":"'"$token"'","returnvalue":'"${result:-null}"'}' >/dev/null
    else
        retryable=true
        [ $code -ne 75 ] || retryable=false
        message="$(head -c 2000 "$folder/err" | quoted)"
        post "$path/fail" '{"token":"'"$token"'","error":{"name":"Exit'"$code"'","message":"'"$message"'","retryable":'"$retryable"'}}' >/dev/null
    fi
done
