#pragma once
/* Every setting of every program: one row each. The YAML file, the environment, the flags, --help,
 * the sample file and the table in docs/operations.md come from these rows.
 *
 * Columns: field of struct settings, name in the file, type, default, least, most, extra
 * environment name or NULL, programs that read it, what it is. TEXT default is a string; WHOLE and
 * SWITCH (0/1) are numbers. Durations end in _ms, sizes in _bytes. A value is taken from, last
 * wins: default, file, environment (GANTRY_STORAGE_ROOT for storage.root, or the extra name), flag
 * (--storage-root). Lists are comma separated. */
#include <stdint.h>

enum {
    USED_BY_BROKER = 1,
    USED_BY_STATE = 2,
    USED_BY_WORKER = 4,
    USED_BY_CLI = 8,
    USED_BY_UP = 16, /* gantry up, which writes a file for the others */
    USED_BY_FRONT = 32,
    USED_BY_OBJECTS = USED_BY_STATE | USED_BY_WORKER | USED_BY_FRONT,
    USED_BY_ALL = 63
};

// clang-format off
#define SETTINGS(TEXT, WHOLE, SWITCH)                                                                                       \
    TEXT  (broker_clients,   "broker.clients",   "ipc://gantry-data/run/clients", NULL, USED_BY_BROKER,                     \
           "where clients and front-ends connect; several separated by commas")                                            \
    TEXT  (broker_workers,   "broker.workers",   "ipc://gantry-data/run/workers", NULL, USED_BY_BROKER,                     \
           "where workers connect")                                                                                        \
    TEXT  (broker_states,    "broker.states",    "ipc://gantry-data/run/states", NULL, USED_BY_BROKER,                      \
           "where state services connect")                                                                                 \
    TEXT  (broker_status,    "broker.status",    "ipc://gantry-data/run/status", NULL, USED_BY_BROKER,                      \
           "where operators ask for the status")                                                                           \
    SWITCH(broker_insecure,  "broker.insecure",  0, NULL, USED_BY_BROKER,                                                   \
           "true allows tcp:// on addresses other than loopback although nothing is encrypted")                            \
    WHOLE (broker_requests_max, "broker.requests_max", 65536, 16, 1048576, NULL, USED_BY_BROKER,                            \
           "requests in flight before BUSY is answered")                                                                   \
    WHOLE (broker_request_bytes_max, "broker.request_bytes_max", 268435456, 1048576, 17179869184, NULL, USED_BY_BROKER,     \
           "bytes of requests in flight before BUSY is answered")                                                          \
    WHOLE (broker_peers_max, "broker.peers_max", 16384, 4, 1048576, NULL, USED_BY_BROKER,                                   \
           "clients, workers and state services together before HELLO is answered BUSY")                                   \
    WHOLE (broker_window,    "broker.window",    4096, 1, 1048576, NULL, USED_BY_BROKER,                                    \
           "requests of one client without an answer before BUSY is answered")                                             \
    WHOLE (limits_body_bytes, "limits.body_bytes", 1048576, 1024, 67108864, NULL, USED_BY_BROKER,                           \
           "largest body of one message; files travel through the task's folder")                                          \
    WHOLE (limits_batch,     "limits.batch",     256, 1, 1024, NULL, USED_BY_BROKER,                                        \
           "most tasks in one message")                                                                                    \
    WHOLE (heartbeat_ms,     "heartbeat_ms",     1000, 50, 60000, NULL, USED_BY_BROKER,                                     \
           "how often a peer that has nothing to say says so")                                                             \
    WHOLE (liveness_ms,      "liveness_ms",      3000, 150, 600000, NULL, USED_BY_BROKER,                                   \
           "silence after which a peer counts as gone")                                                                    \
    WHOLE (lease_ms,         "lease_ms",         10000, 200, 3600000, NULL, USED_BY_BROKER | USED_BY_STATE,                 \
           "a worker's session ends after so long without a heartbeat, and its work goes to others")                       \
    TEXT  (state_brokers,    "state.brokers",    "ipc://gantry-data/run/states", NULL, USED_BY_STATE,                       \
           "the broker.states endpoints of all brokers")                                                                   \
    WHOLE (state_waits_max,  "state.waits_max",  65536, 1, 1048576, NULL, USED_BY_STATE,                                    \
           "clients waiting for an end or for updates before BUSY is answered")                                                           \
    WHOLE (state_redis_calls_max, "state.redis_calls_max", 8192, 1, 1048576, NULL, USED_BY_STATE,                           \
           "calls in flight to Redis before BUSY is answered")                                                             \
    WHOLE (queue_max,        "queue.max",        10000000, 1, 1000000000, NULL, USED_BY_STATE,                              \
           "tasks waiting in one queue before BUSY is answered")                                                           \
    TEXT  (queue_limits,     "queue.limits",     "", NULL, USED_BY_STATE,                                                   \
           "queues with a limit of their own instead of queue.max: ffmpeg=1000,system=50")                                 \
    WHOLE (quota_user,       "quota.user",       1, 0, 1000000, NULL, USED_BY_STATE,                                        \
           "tasks of one owner that have not ended before BUSY is answered; 0: no limit. Tasks without an owner are free")  \
    WHOLE (quota_all,        "quota.all",        5, 0, 100000000, NULL, USED_BY_STATE,                                      \
           "tasks of all owners together that have not ended before BUSY is answered; 0: no limit")                        \
    WHOLE (retry_failures_max, "retry.failures_max", 5, 1, 1000, NULL, USED_BY_STATE,                                       \
           "failures after which a stage has failed for good, unless its node or its submit says otherwise")               \
    WHOLE (retry_crashes_max, "retry.crashes_max", 3, 1, 100, NULL, USED_BY_STATE,                                          \
           "lost leases after which a stage is quarantined, unless its submit says otherwise")                             \
    WHOLE (retry_cap_ms,     "retry.cap_ms",     3600000, 1, 86400000, NULL, USED_BY_STATE,                                 \
           "longest wait before another attempt")                                                                          \
    WHOLE (audit_interval_ms, "audit.interval_ms", 60000, 100, 86400000, NULL, USED_BY_STATE,                               \
           "pause between two passes of the audit")                                                                        \
    TEXT  (redis_addr,       "redis.addr",       "localhost:6379", "REDIS_ADDR", USED_BY_STATE,                             \
           "host:port, or the path of a unix socket")                                                                      \
    TEXT  (redis_password,   "redis.password",   "", "REDIS_PASSWORD", USED_BY_STATE,                                       \
           "empty for none")                                                                                               \
    WHOLE (redis_db,         "redis.db",         0, 0, 1023, "REDIS_DB", USED_BY_STATE,                                     \
           "database number")                                                                                              \
    TEXT  (redis_shard,      "redis.shard",      "", NULL, USED_BY_STATE,                                                   \
           "hash tag put before every key, such as {gantry1}; empty on a single Redis")                                    \
    WHOLE (redis_timeout_ms, "redis.timeout_ms", 5000, 50, 600000, NULL, USED_BY_STATE,                                     \
           "a Redis that is asked and answers nothing for so long is left")                                                \
    TEXT  (worker_brokers,   "worker.brokers",   "ipc://gantry-data/run/workers", NULL, USED_BY_WORKER,                     \
           "the broker.workers endpoints, the next one used when one fails")                                               \
    TEXT  (worker_services,  "worker.services",  "ffmpeg,audio_separator,video,storage,system", NULL, USED_BY_WORKER | USED_BY_UP,                \
           "services whose nodes this worker runs")                                                                        \
    TEXT  (worker_name,      "worker.name",      "", NULL, USED_BY_WORKER,                                                  \
           "how operators see this worker; empty for host-pid")                                                            \
    WHOLE (worker_slots,     "worker.slots",     2, 1, 1024, NULL, USED_BY_WORKER | USED_BY_UP,                             \
           "tasks run at once")                                                                                            \
    WHOLE (worker_grace_ms,  "worker.grace_ms",  5000, 0, 3600000, NULL, USED_BY_WORKER,                                    \
           "between SIGTERM and SIGKILL of a task's processes")                                                            \
    WHOLE (worker_drain_ms,  "worker.drain_ms",  30000, 0, 86400000, NULL, USED_BY_WORKER,                                  \
           "how long a worker that is told to stop lets running tasks finish before handing them back")                    \
    TEXT  (worker_ffmpeg,    "worker.ffmpeg",    "ffmpeg", NULL, USED_BY_WORKER,                                            \
           "the ffmpeg program")                                                                                           \
    TEXT  (worker_ffprobe,   "worker.ffprobe",   "ffprobe", NULL, USED_BY_WORKER,                                           \
           "the ffprobe program")                                                                                          \
    TEXT  (worker_clients, "worker.clients", "ipc://gantry-data/run/clients", NULL, USED_BY_WORKER,                        \
           "the broker.clients endpoints, for nodes that read records: callbacks")                                         \
    TEXT  (front_http, "front.http", "127.0.0.1:8788", NULL, USED_BY_FRONT | USED_BY_UP,                                   \
           "address:port to serve HTTP on; an IPv6 address in brackets; port 0: any free one")                             \
    TEXT  (front_brokers, "front.brokers", "ipc://gantry-data/run/clients", NULL, USED_BY_FRONT,                           \
           "the broker.clients endpoints, the next one used when one fails")                                               \
    TEXT  (front_tls_cert, "front.tls_cert", "", NULL, USED_BY_FRONT,                                                      \
           "file of the certificate chain, PEM; with front.tls_key: HTTPS instead of HTTP")                                \
    TEXT  (front_tls_key, "front.tls_key", "", NULL, USED_BY_FRONT,                                                        \
           "file of its private key, PEM")                                                                                 \
    SWITCH(front_insecure, "front.insecure", 0, NULL, USED_BY_FRONT | USED_BY_UP,                                          \
           "true allows HTTP without TLS on addresses other than loopback")                                                \
    WHOLE (front_connections_max, "front.connections_max", 4096, 8, 65536, NULL, USED_BY_FRONT,                            \
           "connections at once; further ones wait, or are closed")                                                        \
    WHOLE (front_body_bytes, "front.body_bytes", 1048576, 1024, 67108864, NULL, USED_BY_FRONT,                             \
           "largest body of a request")                                                                                    \
    WHOLE (front_bodies_bytes, "front.bodies_bytes", 268435456, 67108864, 1099511627776, NULL, USED_BY_FRONT,              \
           "bodies of all requests together; further ones are refused for a while")                                        \
    WHOLE (front_header_bytes, "front.header_bytes", 16384, 2048, 1048576, NULL, USED_BY_FRONT,                            \
           "request line and headers together")                                                                            \
    WHOLE (front_request_ms, "front.request_ms", 15000, 100, 3600000, NULL, USED_BY_FRONT,                                 \
           "a request that is not whole after so long is refused")                                                         \
    WHOLE (front_answer_ms, "front.answer_ms", 10000, 100, 600000, NULL, USED_BY_FRONT,                                    \
           "how long brokers are waited for before 503 is answered")                                                       \
    WHOLE (front_idle_ms, "front.idle_ms", 30000, 100, 3600000, NULL, USED_BY_FRONT,                                       \
           "a connection without a request is closed after so long")                                                       \
    WHOLE (front_stop_ms, "front.stop_ms", 5000, 0, 600000, NULL, USED_BY_FRONT,                                           \
           "how long requests under way may last when it is told to stop")                                                 \
    WHOLE (front_start_ms, "front.start_ms", 86400000, 0, 315360000000, NULL, USED_BY_FRONT,                               \
           "schedule to start of tasks that come over HTTP; 0: no limit")                                                  \
    TEXT  (reuse_result_stages, "reuse.result_stages", "all", NULL, USED_BY_FRONT | USED_BY_WORKER,                        \
           "stages that answers and callbacks carry: all of the task, or requested: the one that was asked for")           \
    TEXT  (callback_allow, "callback.allow", "", NULL, USED_BY_WORKER | USED_BY_UP,                                        \
           "addresses, networks (10.1.0.0/16) and host names that callbacks may go to although they are not public, separated by commas")\
    WHOLE (callback_timeout_ms, "callback.timeout_ms", 30000, 100, 600000, NULL, USED_BY_WORKER,                           \
           "limit of one delivery of a callback")                                                                          \
    WHOLE (callback_tries, "callback.tries", 5, 1, 100, NULL, USED_BY_WORKER,                                              \
           "deliveries tried before a callback is a dead letter")                                                          \
    WHOLE (callback_retry_ms, "callback.retry_ms", 2000, 10, 3600000, NULL, USED_BY_WORKER,                                \
           "first wait before a callback is tried again, doubled each time; Retry-After goes before it")                   \
    TEXT  (callback_secret, "callback.secret", "", NULL, USED_BY_WORKER,                                                   \
           "key of the header Gantry-Signature; empty: none is sent")                                                      \
    TEXT  (callback_user_agent, "callback.user_agent", "YiVideo-API-Gateway/1.0", NULL, USED_BY_WORKER,                    \
           "User-Agent of callbacks")                                                                                      \
    TEXT  (callback_reuse_info, "callback.reuse_info", "hits", NULL, USED_BY_WORKER,                                       \
           "whose callbacks carry result.reuse_info: hits, or always")                                                     \
    TEXT  (storage_root,     "storage.root",     "/share/workflows", NULL, USED_BY_STATE | USED_BY_WORKER | USED_BY_FRONT,  \
           "the shared disk: each task has a folder of its own beneath")                                                   \
    TEXT  (storage_local,    "storage.local",    "./storage", "LOCAL_STORAGE_PATH", USED_BY_STATE | USED_BY_WORKER | USED_BY_UP, \
           "where tasks that are created of a video have it (videos/ID/original.mp4); inputs may lie there")               \
    TEXT  (storage_input_roots, "storage.input_roots", "", NULL, USED_BY_STATE | USED_BY_WORKER | USED_BY_UP,              \
           "further folders whose files may be a task's input or become a created task's video, separated by commas")      \
    TEXT  (storage_legacy,   "storage.legacy",   "", NULL, USED_BY_WORKER,                                    \
           "an older system's folder of tasks (single_tasks): what a task's own folder lacks is read from ID beneath it; empty: none") \
    SWITCH(storage_auto_upload, "storage.auto_upload", 0, NULL, USED_BY_WORKER,                               \
           "true uploads the files that a node's output names, and adds FIELD_minio_url beside each")                      \
    WHOLE (storage_retention_ms, "storage.retention_ms", 604800000, 0, 315360000000, NULL, USED_BY_WORKER,    \
           "record, folder and objects of a task go so long after it was created, once all of it has ended; 0: never")     \
    WHOLE (storage_low_bytes, "storage.low_bytes", 1073741824, 0, 1152921504606846976, NULL, USED_BY_STATE | USED_BY_FRONT, \
           "free space of storage.root below which tasks and uploads that need space are refused; 0: no watch")            \
    WHOLE (storage_high_bytes, "storage.high_bytes", 2147483648, 0, 1152921504606846976, NULL, USED_BY_STATE | USED_BY_FRONT, \
           "free space at which they are taken again")                                                                     \
    WHOLE (quota_task_bytes, "quota.task_bytes", 0, 0, 1152921504606846976, NULL, USED_BY_WORKER | USED_BY_FRONT, \
           "most bytes of a task's folder: a run that would leave more fails; 0: no limit")                                \
    WHOLE (quota_user_bytes, "quota.user_bytes", 0, 0, 1152921504606846976, NULL, USED_BY_STATE,              \
           "most bytes of all folders of one owner's tasks: further tasks are BUSY; 0: no limit")                          \
    TEXT  (cleanup_schedule, "cleanup.schedule", "17 * * * *", NULL, USED_BY_STATE,                                           \
           "when system.cleanup runs, as five fields of cron, UTC; empty: none is set")                                  \
    WHOLE (cleanup_grace_ms, "cleanup.grace_ms", 86400000, 0, 315360000000, NULL, USED_BY_WORKER,             \
           "age at which folders without a record, and records whose folder is gone, are removed; before that they are only told of") \
    WHOLE (cleanup_tmp_ms,   "cleanup.tmp_ms",   3600000, 0, 315360000000, NULL, USED_BY_WORKER,              \
           "age at which temporary files that nobody works at any more, and trash, are removed")                           \
    TEXT  (objects_endpoint, "objects.endpoint", "", NULL, USED_BY_OBJECTS,                                                \
           "the object store, such as http://minio:9000; empty: none")                                                     \
    TEXT  (objects_public_endpoint, "objects.public_endpoint", "", NULL, USED_BY_FRONT,                       \
           "the store's address in links for clients, when they reach it by another one")                                  \
    TEXT  (objects_region,   "objects.region",   "us-east-1", NULL, USED_BY_OBJECTS,                                       \
           "its region, as it is part of signatures")                                                                      \
    TEXT  (objects_access_key, "objects.access_key", "", NULL, USED_BY_OBJECTS,                                            \
           "access key")                                                                                                   \
    TEXT  (objects_secret_key, "objects.secret_key", "", NULL, USED_BY_OBJECTS,                                            \
           "secret key")                                                                                                   \
    TEXT  (objects_bucket,   "objects.bucket",   "gantry", NULL, USED_BY_OBJECTS,                                          \
           "bucket of what tasks upload, each beneath its id; made when it is missing")                                    \
    TEXT  (objects_buckets,  "objects.buckets",  "", NULL, USED_BY_WORKER | USED_BY_FRONT,                    \
           "further buckets that tasks and HTTP may name, separated by commas")                                            \
    TEXT  (objects_ca_file,  "objects.ca_file",  "", NULL, USED_BY_OBJECTS,                                                \
           "file of the certificates that its TLS is checked by, PEM; empty: the system's")                                \
    WHOLE (objects_timeout_ms, "objects.timeout_ms", 30000, 100, 3600000, NULL, USED_BY_OBJECTS,                           \
           "a request to it of which no byte moves for so long has failed")                                                \
    WHOLE (objects_tries,    "objects.tries",    5, 1, 100, NULL, USED_BY_OBJECTS,                                         \
           "tries of one request, with growing gaps")                                                                      \
    WHOLE (objects_part_bytes, "objects.part_bytes", 8388608, 5242880, 1073741824, NULL, USED_BY_OBJECTS,                  \
           "size of the parts that large objects are sent in")                                                             \
    WHOLE (objects_parallel, "objects.parallel", 3, 1, 32, NULL, USED_BY_OBJECTS,                                          \
           "parts sent at once; each takes memory of its size")                                                            \
    WHOLE (unpack_files_max, "unpack.files_max", 100000, 1, 1000000000, NULL, USED_BY_WORKER,                 \
           "most files of a downloaded archive or prefix")                                                                 \
    WHOLE (unpack_bytes_max, "unpack.bytes_max", 107374182400, 1, 1152921504606846976, NULL, USED_BY_WORKER,  \
           "most bytes that a download or what is unpacked of it may take")                                                \
    WHOLE (unpack_ratio_max, "unpack.ratio_max", 1000, 1, 1000000, NULL, USED_BY_WORKER,                      \
           "most bytes that one byte of an archive may become")                                                            \
    WHOLE (front_upload_bytes, "front.upload_bytes", 10737418240, 1, 1152921504606846976, NULL, USED_BY_FRONT, \
           "largest file uploaded over HTTP")                                                                              \
    WHOLE (front_uploads_max, "front.uploads_max", 64, 1, 4096, NULL, USED_BY_FRONT,                         \
           "uploads and downloads under way at once before 503 is answered")                                               \
    WHOLE (front_upload_ms,  "front.upload_ms",  86400000, 1000, 315360000000, NULL, USED_BY_FRONT | USED_BY_WORKER,           \
           "an unfinished upload is kept so long after its last byte")                                                     \
    TEXT  (log_level,        "log.level",        "info", NULL, USED_BY_BROKER | USED_BY_STATE | USED_BY_WORKER | USED_BY_UP |\
           USED_BY_FRONT,                                                                                                  \
           "error, warn, info or debug")
// clang-format on

struct settings {
#define SETTING_TEXT(field, name, fallback, env, used, doc) const char *field;
#define SETTING_WHOLE(field, name, fallback, least, most, env, used, doc) int64_t field;
#define SETTING_SWITCH(field, name, fallback, env, used, doc) int64_t field;
    SETTINGS(SETTING_TEXT, SETTING_WHOLE, SETTING_SWITCH)
#undef SETTING_TEXT
#undef SETTING_WHOLE
#undef SETTING_SWITCH
};
