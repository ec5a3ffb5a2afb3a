#!/bin/sh
# One JSON tick from the shell, with kcat (https://github.com/edenhill/kcat); any Kafka client does.
# `tapestream ingest` packs it into a frame. The key is the symbol, the partitioner murmur2.
#
#   sh examples/json_tick.sh localhost:9092
set -eu
broker=${1:-localhost:9092}
now_ns=$(date +%s)000000000
printf 'AAPL:{"symbol":"AAPL","ts_event_ns":%s,"kind":"trade","trade_px":"187.27","trade_sz":100,"aggressor":1}\n' \
    "$now_ns" |
    kcat -P -b "$broker" -t market.ticks.json -K : -X partitioner=murmur2_random
