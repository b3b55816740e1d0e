#!/usr/bin/python3
"""Writes the golden frames with Debian's python3-msgpack, an implementation that is not ours.

    tests/vectors/make.py [FOLDER]     writes good/*.hex and hostile/*.hex below FOLDER (default: beside this file)

A file is lines of a word and hexadecimal bytes:
    header HEX            a header frame
    body LAYOUT HEX       a body that is one map; LAYOUT[] for an array of maps
    again HEX             what the body becomes when it is written again (absent: the same bytes)
    field NAME            hostile only: the body can be read, but this field of it is refused
"""
import os
import sys

import msgpack

MAGIC = 0x4701
VERBS = dict(HELLO=1, PING=2, BYE=3, ANSWER=4, READY=5, SUBMIT=10, GET=11, WAIT=12, LIST=13, CANCEL=14, NODES=15, SUBSCRIBE=16, WHY=17, REPLAY=18,
             PURGE=19, CLAIM=20, HEARTBEAT=21, DONE=22, RETURN=23, REGISTER=24, STATUS=30, WORKERS=31, QUEUES=32, LEDGER=33, STEER=34, CRON=35,
             DRAIN=36, FORGET=37, CREATE_TASK=38, GET_TASK_STATUS=39, TASKS=40, DISK=41)
SESSION = bytes(range(16))
TOKEN = bytes(range(16, 32))
LEASE = bytes(range(32, 44))
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def header(verb, request=1, epoch=0xC0FFEE, status=0, service="", priority=0, count=0, trace=""):
    return msgpack.packb([MAGIC, VERBS[verb], request, epoch, status, service, priority, count, 0, trace])


def stage():
    return {"state": "completed", "generation": 1, "attempt": 2, "failures": 1, "crashes": 1, "priority": "high", "progress": 0.5,
            "worker": "w1", "created_ms": 1767225600000, "started_ms": 1767225600100, "ended_ms": 1767225603000,
            "input": {"video_path": "/v/a.mp4"}, "output": {"audio_path": "/s/t1/a.wav", "ratio": 0.25, "parts": [1, -2, None, True]},
            "usage": {"wall_ms": 2900}}


def attempt():
    return {"attempt": 1, "state": "failed", "worker": "w0", "started_ms": 1767225600000, "ended_ms": 1767225600050, "error": fault(),
            "usage": {"wall_ms": 50}}


def fault():
    return {"code": "FAILED", "message": "不是视频", "field": "video_path", "exit": 1, "signal": -9, "stderr": "moov atom not found\n"}


GOOD = {
    "hello_client": (header("HELLO", epoch=0), "hello", {"role": "client", "name": "cli", "software": "demo/1", "host": "box", "pid": 4242}),
    "hello_worker": (header("HELLO", epoch=0), "hello",
                     {"role": "worker", "name": "box-7", "session": SESSION, "services": ["ffmpeg", "system"], "slots": 64, "software": "demo/1",
                      "host": "box", "pid": 70000}),
    "welcome": (header("ANSWER"), "welcome",
                {"epoch": 0xC0FFEE, "heartbeat_ms": 2000, "liveness_ms": 6000, "lease_ms": 10000, "batch_max": 256, "body_max": 1048576,
                 "window": 4096, "software": "gantry/0.1.0"}),
    "ping": (header("PING", request=2 ** 40),),
    "bye": (header("BYE", request=3), "bye", {"session": SESSION}),
    "error": (header("ANSWER", request=4, status=7), "error",
              {"message": "the queue is full", "field": "input.video_path", "scope": "queue", "limit": 10000000, "current": 2 ** 33,
               "retry_after_ms": 1000}),
    "submit": (header("SUBMIT", request=5, service="ffmpeg", priority=1, count=2, trace=TRACE), "task[]",
               [{"id": "t1", "task": "ffmpeg.extract_audio", "token": TOKEN, "input": {"video_path": "/v/a.mp4"}, "owner": "u1",
                 "timeout_ms": 60000},
                {"id": "t2", "task": "ffmpeg.extract_audio", "token": TOKEN[::-1]}]),
    "submit_later": (header("SUBMIT", request=5, service="ffmpeg", count=1), "task[]",
                     [{"id": "t3", "task": "ffmpeg.extract_audio", "token": TOKEN, "delay_ms": 2 ** 33, "not_before_ms": 1767225600000,
                       "schedule_to_start_ms": 60000, "schedule_to_close_ms": 3600000, "failures_max": 7, "crashes_max": 2, "retry_ms": 500}]),
    "submit_batch": (header("SUBMIT", request=5, service="system", count=20), "task[]",
                     [{"id": f"b{i}", "task": "system.echo", "token": TOKEN, "input": {"n": i}} for i in range(20)]),
    "receipts": (header("ANSWER", request=5, count=2), "receipt[]",
                 [{"status": 0, "id": "t1", "task": "ffmpeg.extract_audio", "state": "pending", "reuse": "miss", "durability": "everysec"},
                  {"status": 1, "id": "t2", "task": "ffmpeg.extract_audio", "message": "missing", "field": "input.video_path"}]),
    "get": (header("GET", request=6), "ref", {"id": "t1"}),
    "cancel": (header("CANCEL", request=7), "ref", {"id": "t1", "task": "ffmpeg.extract_audio"}),
    "wait": (header("WAIT", request=8), "wait", {"id": "t1", "task": "ffmpeg.extract_audio", "timeout_ms": 60000}),
    "record": (header("ANSWER", request=8), "record",
               {"id": "t1", "status": "completed", "storage_path": "/share/workflows/t1", "created_ms": 1767225600000,
                "stages": {"ffmpeg.extract_audio": stage()}}),
    "stage": (header("ANSWER"), "stage", stage()),
    "stage_failed": (header("ANSWER"), "stage", {"state": "failed", "failures": 1, "error": fault()}),
    "stage_scheduled": (header("ANSWER"), "stage", {"state": "scheduled", "failures": 1, "owner": "u1", "due_ms": 1767225615000, "history": [attempt()]}),
    "attempt": (header("ANSWER"), "attempt", attempt()),
    "fault": (header("ANSWER"), "fault", fault()),
    "list": (header("LIST", request=9), "list", {"state": "running", "service": "ffmpeg", "limit": 10, "cursor": "c1"}),
    "list_some": (header("LIST", request=9), "list",
                  {"state": "dead", "task": "ffmpeg.extract_audio", "since_ms": 1767225600000, "until_ms": 1767229200000}),
    "listing": (header("ANSWER", request=9), "listing",
                {"items": [{"id": "t1", "task": "ffmpeg.extract_audio", "state": "running", "at_ms": 1767225600000}], "cursor": "c2"}),
    "claim": (header("CLAIM", request=10, count=64), "claim", {"session": SESSION, "seq": 1, "worker": "box-7"}),
    "tasks": (header("ANSWER", request=10, count=1), "handout[]",
              [{"id": "t1", "task": "ffmpeg.extract_audio", "session": SESSION, "token": LEASE, "attempt": 1, "generation": 3,
                "timeout_ms": 60000, "failures": 1, "crashes": 2, "input": {"video_path": "/v/a.mp4"}, "checkpoint": {"at": 7}}]),
    "return": (header("RETURN", request=14, count=1), "handout[]",
               [{"id": "t1", "task": "ffmpeg.extract_audio", "session": SESSION, "token": LEASE, "checkpoint": 1500}]),
    "heartbeat": (header("HEARTBEAT", request=11), "heartbeat",
                  {"session": SESSION, "claim_open": 2, "worker": "box-7", "services": "ffmpeg,system", "slots": 64,
                   "held": [{"id": "t1", "task": "ffmpeg.extract_audio", "token": LEASE, "progress": 0.75}]}),
    "hold": (header("HEARTBEAT"), "hold", {"id": "t1", "task": "ffmpeg.extract_audio", "token": LEASE, "progress": 1e-9}),
    "beat": (header("ANSWER", request=11), "beat", {"stale": [LEASE], "cancel": [LEASE[::-1]], "drain": True}),
    "done": (header("DONE", request=12, count=2), "result[]",
             [{"id": "t1", "task": "ffmpeg.extract_audio", "session": SESSION, "token": LEASE, "state": "completed", "worker": "box-7",
               "output": {"audio_path": "/s/t1/a.wav"}, "usage": {"wall_ms": 2900, "rss_bytes": 2 ** 31}},
              {"id": "t2", "task": "ffmpeg.extract_audio", "session": SESSION, "token": LEASE[::-1], "state": "failed", "error": fault()}]),
    "done_again": (header("DONE", request=12, count=2), "result[]",
                   [{"id": "t1", "task": "ffmpeg.extract_audio", "session": SESSION, "token": LEASE, "state": "retry", "error": fault(),
                     "retry_after_ms": 5000, "checkpoint": [1, "two"]},
                    {"id": "t2", "task": "ffmpeg.extract_audio", "session": SESSION, "token": LEASE[::-1], "state": "snoozed", "retry_after_ms": 1}]),
    "outcomes": (header("ANSWER", request=12, count=2), "outcome[]", [{"status": 0}, {"status": 9, "id": "t2", "message": "another has it"}]),
    "register": (header("REGISTER", request=13), "register",
                 {"session": SESSION,
                  "nodes": [{"name": "demo.upper", "doc": "in capitals", "inputs": [{"name": "text", "type": "text", "required": True}],
                             "outputs": ["text"], "key": ["text"], "timeout_ms": 1000}]}),
    "node": (header("ANSWER"), "node",
             {"name": "demo.upper", "doc": "in capitals", "inputs": [{"name": "text", "type": "text", "required": True}], "outputs": ["text"],
              "key": ["text"], "timeout_ms": 1000, "failures_max": 3, "crashes_max": 2, "retry_ms": 1000}),
    "input": (header("ANSWER"), "input", {"name": "level", "type": "whole", "fallback": 3, "doc": "1..9"}),
    "subscribe": (header("SUBSCRIBE", request=15), "subscribe",
                  {"since": 2 ** 40, "id": "t1", "service": "ffmpeg", "limit": 100, "timeout_ms": 30000}),
    "updates": (header("ANSWER", request=15), "updates",
                {"seq": 2 ** 40 + 1, "items": [{"seq": 2 ** 40 + 1, "id": "t1", "task": "ffmpeg.extract_audio", "state": "running",
                                                "at_ms": 1767225600000}]}),
    "updates_anew": (header("ANSWER", request=15), "updates", {"seq": 7, "reset": True, "snapshot": {"accepted": 1}}),
    "update": (header("ANSWER"), "update", {"seq": 1, "id": "t1", "task": "ffmpeg.extract_audio", "state": "pending", "at_ms": 1767225600000}),
    "why": (header("ANSWER", request=16, count=1), "why[]",
            [{"task": "ffmpeg.extract_audio", "state": "pending", "reason": "queued", "text": "two are before it", "position": 3, "estimate_ms": 9000}]),
    "why_retrying": (header("ANSWER"), "why", {"task": "a.b", "state": "scheduled", "reason": "retrying", "due_ms": 1767225615000, "worker": "w1"}),
    "replay": (header("REPLAY", request=17), "ref", {"id": "t1", "task": "ffmpeg.extract_audio"}),
    "purge": (header("PURGE", request=18), "ref", {"id": "t1", "task": "ffmpeg.extract_audio"}),
    "ledger": (header("ANSWER", request=19), "ledger",
               {"accepted": 2 ** 33, "completed": 1, "skipped": 2, "failed": 3, "quarantined": 4, "cancelled": 5, "scheduled": 6, "pending": 7,
                "running": 8, "balanced": True, "dead": 9, "retries": 10, "crashes": 11, "requeues": 12, "seq": 2 ** 40, "audits": 13,
                "audited_ms": 1767225600000, "audited": 14, "repaired": 15}),
    "steer": (header("STEER", request=20), "steer", {"action": "pause", "service": "ffmpeg"}),
    "steer_worker": (header("STEER", request=20), "steer", {"action": "drain", "worker": "box-7"}),
    "steered": (header("ANSWER", request=20), "steered", {"changed": True}),
    "drain": (header("DRAIN", request=21), "drain", {"on": True}),
    "cron": (header("CRON", request=22), "cron",
             {"action": "set", "name": "nightly", "schedule": "0 3 * * *", "zone": "Asia/Shanghai", "task": "ffmpeg.extract_audio",
              "input": {"video_path": "/v/a.mp4"}, "priority": "low", "timeout_ms": 60000}),
    "crons": (header("ANSWER", request=22, count=1), "cron[]",
              [{"name": "nightly", "schedule": "0 3 * * *", "next_ms": 1767294000000, "last_ms": 1767207600000}]),
    "forget": (header("FORGET", request=23), "forget", {"id": "t1", "force": True}),
    "forgotten": (header("ANSWER", request=23), "forgotten",
                  {"status": "partial_failed", "results": [{"resource": "local_directory", "status": "failed", "message": "Read-only file system",
                                                            "retriable": True}, {"resource": "redis", "status": "deleted"}]}),
    "submit_callback": (header("SUBMIT", request=24, service="ffmpeg", count=1), "task[]",
                        [{"id": "t1", "task": "ffmpeg.extract_audio", "token": bytes(range(16)), "input": {"video_path": "${{ stages.a.b.output.c }}"},
                          "callback": "https://example.org/done?x=1", "reuse": "input"}]),
    "stage_told": (header("ANSWER"), "stage", {"state": "completed", "output": {"audio_path": "/v/a.wav"}, "callback": "https://example.org/done",
                                               "callback_id": "callback-" + "0" * 40}),
    "node_upstream": (header("ANSWER"), "node",
                      {"name": "a.b", "inputs": [{"name": "audio_path", "type": "path", "required": True, "upstream": "vocal_audio,audio_path"}],
                       "key": ["segments|speaker_segments_file"], "available": True}),
    "create_task": (header("CREATE_TASK", request=25), "create_task", {"temp_file_path": "/srv/in/视频.mp4", "token": TOKEN}),
    "created_task": (header("ANSWER", request=25), "created_task", {"task_id": "4f1c8a52-6c0e-4b4e-9a55-0d2f3f1c7a10"}),
    "get_task_status": (header("GET_TASK_STATUS", request=26), "get_task_status", {"task_id": "4f1c8a52-6c0e-4b4e-9a55-0d2f3f1c7a10"}),
    "task_status": (header("ANSWER", request=26), "task_status",
                    {"status": 3, "error_message": "不是视频", "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:05.000Z"}),
    "tasks_walk": (header("TASKS", request=27), "tasks", {"cursor": "17", "limit": 100, "created_before_ms": 1767225600000}),
    "tasks_some": (header("TASKS", request=27), "tasks", {"ids": ["t1", "t2"]}),
    "tasks_page": (header("ANSWER", request=27), "tasks_page",
                   {"cursor": "0", "items": [{"id": "t1", "owner": "mei", "created_ms": 1767225600000, "ended_ms": 1767225603000}]}),
    "task_item": (header("ANSWER"), "task_item", {"id": "t2", "created_ms": 1767225600000, "living": True}),
    "disk": (header("DISK", request=28), "disk", {"limit": 10, "measure": True}),
    "disk_use": (header("ANSWER", request=28), "disk_use",
                 {"root": "/share/workflows", "total_bytes": 2 ** 40, "free_bytes": 2 ** 29, "low_bytes": 2 ** 30, "high_bytes": 2 ** 31,
                  "refusing": True, "refused": 3, "folders": 2, "bytes": 2 ** 33, "trash_bytes": 7, "measured_ms": 1767225600000,
                  "tasks": [{"id": "t1", "owner": "mei", "bytes": 2 ** 32, "files": 12}], "users": [{"owner": "mei", "bytes": 2 ** 32, "tasks": 1}]}),
    "node_space": (header("ANSWER"), "node", {"name": "a.b", "space": True}),
    "ready": (header("READY", request=0, service="ffmpeg"),),
}

STRANGE = {  # odd, yet right: read, and written again in the plain way
    "long_numbers": ("claim", b"\x83\xd9\x07session\xc5\x00\x10" + SESSION + b"\xda\x00\x03seq\xcf" + bytes(7) + b"\x05" +
                     b"\xdb\x00\x00\x00\x06worker\xd9\x01w", {"session": SESSION, "seq": 5, "worker": "w"}),
    "long_map": ("ref", b"\xdf\x00\x00\x00\x01\xa2id\xa2t1", {"id": "t1"}),
    "signed_numbers": ("claim", b"\x82\xa7session\xc4\x10" + SESSION + b"\xa3seq\xd3" + bytes(7) + b"\x05", {"session": SESSION, "seq": 5}),
    "unknown_keys": ("ref", msgpack.packb({"new": {"deep": [1, {"x": None}]}, "id": "t1", "newer": 3}), {"id": "t1"}),
    "another_order": ("claim", msgpack.packb({"worker": "w", "seq": 5, "session": SESSION}), {"session": SESSION, "seq": 5, "worker": "w"}),
    "nil_is_absent": ("ref", msgpack.packb({"id": "t1", "task": None}), {"id": "t1"}),
    "whole_progress": ("hold", msgpack.packb({"id": "t1", "task": "a.b", "token": LEASE, "progress": 1}),
                       {"id": "t1", "task": "a.b", "token": LEASE, "progress": 1.0}),
    "float_of_four_bytes": ("hold", b"\x84\xa2id\xa2t1\xa4task\xa3a.b\xa5token\xc4\x0c" + LEASE + b"\xa8progress\xca\x3f\x00\x00\x00",
                            {"id": "t1", "task": "a.b", "token": LEASE, "progress": 0.5}),
    "extension_inside": ("task", b"\x84\xa2id\xa2t1\xa4task\xa3a.b\xa5token\xc4\x10" + TOKEN + b"\xa5input\x81\xa1x\xd4\x05\xff",
                         {"id": "t1", "task": "a.b", "token": TOKEN, "input": {"x": msgpack.ExtType(5, b"\xff")}}),
}

HOSTILE_BODIES = {
    "empty_map_cut": b"\x81", "truncated_text": b"\x81\xa2id\xa5t1", "truncated_number": b"\x81\xa1n\xcf\x00\x00", "nothing": b"\x80\xc1",
    "array_of_4_billion": b"\xdd\xff\xff\xff\xff", "array_of_256_million": b"\xdd\x0f\xff\xff\xff", "map_of_4_billion": b"\xdf\xff\xff\xff\xff\xa1x\x01",
    "text_of_4_gigabytes": b"\xdb\xff\xff\xff\xff", "bin_of_4_gigabytes": b"\xc6\xff\xff\xff\xff\x00", "ext_of_4_gigabytes": b"\xc9\xff\xff\xff\xff\x01",
    "sum_too_large": b"\x93\xdc\x00\x03\xdc\x00\x03\xdc\x00\x03\x01\x02", "too_deep": b"\x91" * 17 + b"\x01", "far_too_deep": b"\x81\xa1a" * 5000 + b"\xc0",
    "bad_utf8_lone": b"\x81\xa2id\xa1\x80", "bad_utf8_overlong": b"\x81\xa2id\xa2\xc0\xaf", "bad_utf8_surrogate": b"\x81\xa2id\xa3\xed\xa0\x80",
    "bad_utf8_beyond": b"\x81\xa2id\xa4\xf4\x90\x80\x80", "bad_utf8_key": b"\x81\xa1\xff\x01", "bad_utf8_cut": b"\x81\xa2id\xa2\xe5\xa5",
    "two_values": b"\x80\x80", "unused_lead_byte": b"\xc1", "no_bytes": b"",
}

HOSTILE_FIELDS = {
    "id_missing": ("ref", {"task": "a.b"}, "id"), "id_of_another_type": ("ref", {"id": 7}, "id"), "id_too_long": ("ref", {"id": "x" * 129}, "id"),
    "text_for_bytes": ("claim", {"session": "x" * 16, "seq": 1}, "session"), "bytes_too_long": ("claim", {"session": bytes(17), "seq": 1}, "session"),
    "number_negative": ("claim", {"session": SESSION, "seq": -1}, "seq"), "number_too_large": ("wait", {"id": "a", "timeout_ms": 2 ** 32}, "timeout_ms"),
    "required_is_nil": ("claim", {"session": SESSION, "seq": None}, "seq"), "truth_for_number": ("hold", {"id": "a", "task": "a.b", "token": LEASE, "progress": True}, "progress"),
}

HOSTILE_HEADERS = {
    "header_empty": b"", "header_no_array": msgpack.packb({"magic": MAGIC}), "header_short": msgpack.packb([MAGIC, 1, 1]),
    "header_long": msgpack.packb([MAGIC, 1, 1, 0, 0, "", 0, 0, 0, "", 0]), "header_other_magic": msgpack.packb([0x4702, 1, 1, 0, 0, "", 0, 0, 0, ""]),
    "header_trailing": header("PING") + b"\x00", "header_service_too_long": header("SUBMIT", service="a" * 33),
    "header_service_letters": header("SUBMIT", service="a/../b"), "header_trace_too_long": header("PING", trace="0" * 56),
    "header_priority": header("SUBMIT", priority=3), "header_verb_text": msgpack.packb([MAGIC, "PING", 1, 0, 0, "", 0, 0, 0, ""]),
    "header_request_negative": msgpack.packb([MAGIC, 2, -1, 0, 0, "", 0, 0, 0, ""]), "header_verb_of_8_bytes": msgpack.packb([MAGIC, 2 ** 32, 1, 0, 0, "", 0, 0, 0, ""]),
    "header_cut": header("PING")[:-3], "header_huge": msgpack.packb([MAGIC, 2, 1, 0, 0, "", 0, 0, 0, "x" * 300]),
}


def write(folder, name, **lines):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, name + ".hex"), "w") as out:
        out.writelines(f"{word} {value}\n" for word, value in lines.items())


def main(folder):
    good, hostile = os.path.join(folder, "good"), os.path.join(folder, "hostile")
    for name, (head, *body) in GOOD.items():
        write(good, name, header=head.hex(), **({"body": f"{body[0]} {msgpack.packb(body[1]).hex()}"} if body else {}))
    for name, (layout, odd, plain) in STRANGE.items():
        write(good, "strange_" + name, body=f"{layout} {odd.hex()}", again=msgpack.packb(plain).hex())
    for name, body in HOSTILE_BODIES.items():
        write(hostile, name, body=f"any {body.hex()}")
    for name, (layout, body, field) in HOSTILE_FIELDS.items():
        write(hostile, name, body=f"{layout} {msgpack.packb(body).hex()}", field=field)
    for name, head in HOSTILE_HEADERS.items():
        write(hostile, name, header=head.hex())


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__)))
