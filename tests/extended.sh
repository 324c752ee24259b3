#!/usr/bin/env bash
# Programs that the extended tests need: built or fetched once into .venv/extended. What cannot be had fails its tests there.
set -u
cd "$(dirname "$0")/.."
mkdir -p .venv/extended

