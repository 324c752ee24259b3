#!/usr/bin/env bash
# Tools that tests need and Python's packages do not bring. Each is optional on a laptop (its tests are then skipped, visibly).
# What is there already is left alone; what is missing is fetched at the same time.
set -u
cd "$(dirname "$0")/.."

asyncapi_parser() {
  command -v npm >/dev/null && [ ! -d .venv/node/node_modules/@asyncapi/parser ] || return
  mkdir -p .venv/node
  npm install --prefix .venv/node --silent --no-audit --no-fund --no-package-lock '@asyncapi/parser@3.6.3' || echo "no @asyncapi/parser: its test will be skipped"
}

azurite() {
  command -v npm >/dev/null && [ ! -x .venv/node/node_modules/.bin/azurite-blob ] || return
  mkdir -p .venv/node
  npm install --prefix .venv/node --silent --no-audit --no-fund --no-package-lock 'azurite@3.35.0' || echo "no Azurite: its tests will be skipped"
}

debian_packages() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return
  missing=""
  [ -x /usr/lib/postgresql/15/bin/postgres ] || missing="postgresql-15"
  command -v chromium >/dev/null || missing="$missing chromium"
  command -v mariadbd >/dev/null || missing="$missing mariadb-server"
  command -v pgbouncer >/dev/null || missing="$missing pgbouncer"
  [ -n "$missing" ] || return
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null || echo "could not install:$missing"
}

# The broker's jars, and Java's ahead-of-time cache, which the first clean stop leaves and every later start uses.
broker() {
  .venv/bin/python tests/warm_broker.py || echo "no broker: tests that need one will fail"
}

{ asyncapi_parser; azurite; } &
debian_packages &
broker &
wait
exit 0
