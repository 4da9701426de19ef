#!/bin/bash
# What an agent costs its host: the real process at one report a second, beside a synthetic engine and a router, for a minute.
# Usage: scripts/agent-cost.sh target/release/crosspoint
set -eu
crosspoint=${1:?the crosspoint binary}
folder=$(mktemp -d)
trap 'kill $(jobs -p); rm -r "$folder"' EXIT
said() { until [ -s "$folder/$1" ]; do sleep 0.1; done; sed "s/.*\"$2\":\"\([^\"]*\)\".*/\1/" "$folder/$1"; }

echo 'router: { listen: "127.0.0.1:0", admin: "127.0.0.1:0", metrics: "127.0.0.1:0" }' >"$folder/router.yaml"
CROSSPOINT__ENGINE__LISTEN=127.0.0.1:0 "$crosspoint" engine --voice synthetic --json >"$folder/engine" 2>/dev/null &
"$crosspoint" router --config "$folder/router.yaml" --json >"$folder/router" 2>/dev/null &
engine=$(said engine address) router=$(said router grpc)
CROSSPOINT__AGENT__METRICS=127.0.0.1:0 "$crosspoint" agent --pool on-prem --name measured --gpus simulated \
    --router "http://$router" --engine "http://$engine" --json >"$folder/agent" 2>/dev/null &
agent=$!
sleep 5
ticks() { awk '{ print $14 + $15 }' "/proc/$agent/stat"; }
before=$(ticks)
sleep 60
awk -v ticks=$(($(ticks) - before)) -v hertz="$(getconf CLK_TCK)" 'BEGIN { printf "cpu %.2f %% of a core\n", ticks / hertz / 60 * 100 }'
grep -E 'VmRSS|RssAnon|RssFile' "/proc/$agent/status"
