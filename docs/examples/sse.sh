#!/bin/sh
# Follows blocks and alerts without a WebSocket. Each event's id names its
# position; to go on after one, give it back:
#   curl -N -H "Last-Event-ID: <id>" "$base/sse?channels=blocks,alerts"
base="${1:-http://localhost:3000}"
exec curl -N "$base/sse?channels=blocks,alerts"
