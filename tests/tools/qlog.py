"""Reads a qlog file as its consumers do (RFC 7464, JSON): where the connection went last, and its last event of note."""
import json
import sys

records = open(sys.argv[1], "rb").read().split(b"\x1e")
assert records[0] == b"" and all(r.endswith(b"}\n") for r in records[1:])
head, *events = [json.loads(r) for r in records[1:]]
assert head["file_schema"] == "urn:ietf:params:qlog:file:sequential" and head["trace"]["vantage_point"]["type"] == "server"
assert head["trace"]["common_fields"]["group_id"] in sys.argv[1]
times = [e["time"] for e in events]
assert times == sorted(times) and all(set(e) == {"time", "name", "data"} for e in events)
for name in "connection_started", "parameters_set", "packet_sent", "packet_received", "recovery_metrics_updated":
    assert any(e["name"] == "quic:" + name for e in events), name
went = [e["data"] for e in events if e["name"] == "quic:migration_state_updated"]
last = [d for d in went if d["new"] == "migration_complete"][-1]
closed = [e["name"] for e in events if e["name"] == "quic:connection_closed"]
print(last["new"], last["tuple_local"]["ip_v4"], closed[0].split(":")[1])
