#!/usr/bin/env bash
# Simulates clients, pools and servers under a fake clock, with faults, and checks what must hold after
# each step.
#
#   simulate.sh [STEPS [SEED]]    so many steps (10000000), in worlds that begin with this seed (1)
set -euo pipefail
# shellcheck source=lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
trap stop_ticker EXIT
cd "$root"
step build-simulation cargo build --locked --profile simulation -p poolwright-simulation
"${CARGO_TARGET_DIR:-target}/simulation/poolwright-simulation" "${1:-10000000}" "${2:-1}"
