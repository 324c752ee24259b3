#!/usr/bin/env bash
# Tools that tests need and Python's packages do not bring. Each is optional on a laptop (its tests are then skipped, visibly).
set -u
cd "$(dirname "$0")/.."
if command -v npm >/dev/null && [ ! -d .venv/node/node_modules/@asyncapi/parser ]; then
  mkdir -p .venv/node
  npm install --prefix .venv/node --silent --no-audit --no-fund --no-package-lock '@asyncapi/parser@3.6.3' || echo "no @asyncapi/parser: its test will be skipped"
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  missing=""
  [ -x /usr/lib/postgresql/15/bin/postgres ] || missing="postgresql-15"
  command -v chromium >/dev/null || missing="$missing chromium"
  if [ -n "$missing" ]; then
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null || echo "could not install:$missing"
  fi
fi
exit 0
