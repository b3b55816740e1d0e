#pragma once
/* The wire, as rows: verbs, the fields of every body, states, roles. The structs, the codec's
 * tables and the tables in docs/protocol.md come from here; a new message is a row and a handler.
 *
 * A message is [routing id] [header] [body]. Every request gets exactly one ANSWER under its
 * request id.
 */

enum {
    WIRE_MAGIC = 0x4701, /* 'G' and the version: first element of every header */
    WIRE_DEPTH_MAX = 16,
    WIRE_VALUE_DEPTH_MAX = 11, /* of an input, output, error or usage: records wrap it further */
    WIRE_SESSION_SIZE = 16,
    WIRE_SUBMIT_TOKEN_SIZE = 16,
    WIRE_LEASE_TOKEN_SIZE = 12,
    WIRE_HEADER_MAX = 256,         /* bytes */
    WIRE_FRAME_HARD_MAX = 64 << 20 /* a peer that sends more in a frame is disconnected */
};

/* name, number, who says it to whom, body, answer's body (x[] is an array of maps), what it asks */
// clang-format off
#define VERBS(V)                                                                                                  \
    V(HELLO,      1, "any peer to broker",       "hello",     "welcome",   "introduce the peer; everything else is refused before it")  \
    V(PING,       2, "any peer to broker, broker to state", "",  "",       "are you there")                          \
    V(BYE,        3, "any peer to broker",       "bye",       "",          "the peer leaves; a worker's session ends") \
    V(ANSWER,     4, "who was asked",            "by request","",          "the one answer to a request")             \
    V(READY,      5, "state to broker",          "",          "",          "header.service has work now; no answer")  \
    V(SUBMIT,    10, "client",                   "task[]",    "receipt[]", "keep and run 1..N tasks of header.service at header.priority") \
    V(GET,       11, "client",                   "ref",       "record",    "the record of a task as it is")          \
    V(WAIT,      12, "client",                   "wait",      "record",    "the record once the stage, or every stage, has ended") \
    V(LIST,      13, "client",                   "list",      "listing",   "stages by state, newest first")           \
    V(CANCEL,    14, "client",                   "ref",       "record",    "stop a stage, or every stage of a task")  \
    V(NODES,     15, "client",                   "",          "node[]",    "the catalogue: every node ever registered") \
    V(SUBSCRIBE, 16, "client or operator",       "subscribe", "updates",   "what changed since a number, parked until there is something; or what is now") \
    V(WHY,       17, "client",                   "ref",       "why[]",     "why a stage, or every stage of a task, is not running") \
    V(REPLAY,    18, "client",                   "ref",       "record",    "run a dead letter again")                 \
    V(PURGE,     19, "client",                   "ref",       "",          "forget a dead letter; the record stays")  \
    V(CLAIM,     20, "worker",                   "claim",     "handout[]", "hand me up to header.count tasks; parked until there are any") \
    V(HEARTBEAT, 21, "worker",                   "heartbeat", "beat",      "renew the session's lease and all it holds") \
    V(DONE,      22, "worker",                   "result[]",  "outcome[]", "attempts have ended")                     \
    V(RETURN,    23, "worker, or broker",        "handout[]", "outcome[]", "take these back, they did not run; extra fields are ignored") \
    V(REGISTER,  24, "worker",                   "register",  "",          "the nodes this worker runs")              \
    V(STATUS,    30, "client or operator",       "",          "status",    "figures of the broker")                   \
    V(WORKERS,   31, "client or operator",       "",          "worker[]",  "workers connected to this broker")        \
    V(QUEUES,    32, "client or operator",       "",          "queue[]",   "queues with their depths and running counts") \
    V(LEDGER,    33, "client or operator",       "",          "ledger",    "what was accepted and where all of it is now") \
    V(STEER,     34, "client or operator",       "steer",     "steered",   "pause or resume a queue, drain or undrain a worker, begin an audit") \
    V(CRON,      35, "client",                   "cron",      "cron[]",    "set, remove or list schedules")           \
    V(DRAIN,     36, "operator to broker",       "drain",     "",          "send peers to other brokers, or take them again") \
    V(FORGET,    37, "client",                   "forget",    "forgotten", "remove a task: its record, its folders and its objects") \
    V(CREATE_TASK, 38, "client",                 "create_task", "created_task", "take a video over: its file moves to videos/ID/original.mp4, and its id into task:pending") \
    V(GET_TASK_STATUS, 39, "client",             "get_task_status", "task_status", "how a created task is, or any other, in the words of the task service") \
    V(TASKS,     40, "client",                   "tasks",     "tasks_page", "walk all tasks there are, or look some up")  \
    V(DISK,      41, "client or operator",          "disk",      "disk_use",  "free space, and what tasks and users have on the disk")

/* Every priority has a queue of its own. 0 is what a caller gets who does not say. */
#define PRIORITIES(P) P(NORMAL, 0, "normal") P(HIGH, 1, "high") P(LOW, 2, "low")

/* States of a stage: name, number in the packed state, text on the wire, terminal? */
#define STATES(S)                              \
    S(PENDING,     0, "pending",     0)        \
    S(SCHEDULED,   1, "scheduled",   0)        \
    S(RUNNING,     2, "running",     0)        \
    S(CANCELLING,  3, "cancelling",  0)        \
    S(COMPLETED,   4, "completed",   1)        \
    S(SKIPPED,     5, "skipped",     1)        \
    S(FAILED,      6, "failed",      1)        \
    S(QUARANTINED, 7, "quarantined", 1)        \
    S(CANCELLED,   8, "cancelled",   1)

/* Why a stage is where it is. name, text, what it means */
#define REASONS(R)                                                                                                \
    R(ENDED,      "ended",      "it has ended: its state says how")                                              \
    R(RUNNING,    "running",    "a worker has it")                                                               \
    R(CANCELLING, "cancelling", "its worker was told to stop it")                                                \
    R(DELAYED,    "delayed",    "its time has not come")                                                         \
    R(RETRYING,   "retrying",   "it failed, and waits for its next attempt")                                     \
    R(SNOOZED,    "snoozed",    "its worker put it off")                                                         \
    R(PAUSED,     "paused",     "its queue is paused")                                                           \
    R(NO_WORKER,  "no_worker",  "no worker serves its queue")                                                    \
    R(DRAINING,   "draining",   "every worker that serves its queue is draining")                                \
    R(QUEUED,     "queued",     "others are before it: see position")                                            \
    R(NEXT,       "next",       "it is handed out with the next free slot")                                      \
    R(EXTERNAL,   "external",   "created for an outside processor, which has it or will take it from task:pending") \
    R(UNHELD,     "unheld",     "nothing holds it: the audit will put it back")

/* The header: one array of exactly these, in this order. name, kind, what it is */
#define HEADER_FIELDS(H)                                                                                          \
    H(magic,    U32, "0x4701: G and the version")                                                                \
    H(verb,     U32, "number of the verb")                                                                       \
    H(request,  U64, "chosen by who asks, unique in its connection, grows; the answer repeats it")               \
    H(epoch,    U32, "as WELCOME gave it; 0 in HELLO")                                                            \
    H(status,   U32, "0 in requests; the answer's status")                                                       \
    H(service,  STR, "queue that routing needs, else empty; at most 32 bytes")                                   \
    H(priority, U32, "0 normal, 1 high, 2 low")                                                                  \
    H(count,    U32, "items in the body; CLAIM: most tasks wanted")                                              \
    H(hash,     U32, "reserved for sharding: 0")                                                                 \
    H(trace,    STR, "W3C traceparent, or empty; at most 55 bytes")

/* Bodies. F(T, kind, name, need, most, text): kind STR BIN (most = bytes) U32 U64 I64 F64 BOOL RAW (any value, kept as
 * its bytes); need REQ or OPT (absent or nil reads as zero or empty). Unknown keys are ignored. */
#define HELLO_FIELDS(F, T)                                                                                        \
    F(T, STR, role,      REQ, 16,  "client, worker or state")                                                    \
    F(T, STR, name,      OPT, 128, "how operators see the peer")                                                 \
    F(T, BIN, session,   OPT, 16,  "worker: 16 random bytes, minted once a process, kept over reconnects")      \
    F(T, RAW, services,  OPT, 0,   "worker: array of 1..16 service names it claims from")                        \
    F(T, U32, slots,     OPT, 0,   "worker: tasks it runs at once")                                              \
    F(T, STR, software,  OPT, 64,  "name and version")                                                           \
    F(T, STR, host,      OPT, 128, "machine")                                                                     \
    F(T, U32, pid,       OPT, 0,   "process")
#define WELCOME_FIELDS(F, T)                                                                                      \
    F(T, U32, epoch,        REQ, 0,  "put it into every header from now on")                                     \
    F(T, U32, heartbeat_ms, REQ, 0,  "say something at least this often: HEARTBEAT of a worker, PING of others") \
    F(T, U32, liveness_ms,  REQ, 0,  "silence after which the other side counts as gone")                        \
    F(T, U32, lease_ms,     REQ, 0,  "a worker kills what it runs when it could not renew for so long")          \
    F(T, U32, batch_max,    REQ, 0,  "most items in a body")                                                     \
    F(T, U32, body_max,     REQ, 0,  "most bytes in a body")                                                     \
    F(T, U32, window,       OPT, 0,  "most requests of this peer without an answer, WAIT and SUBSCRIBE apart; 0: no limit")                                                     \
    F(T, STR, software,     OPT, 64, "name and version of the broker")
#define BYE_FIELDS(F, T)                                                                                          \
    F(T, BIN, session,   OPT, 16,  "worker: its session; what it still holds goes back to the queues")
#define ERROR_FIELDS(F, T)                                                                                        \
    F(T, STR, message,        OPT, 1024, "a sentence for a person")                                              \
    F(T, STR, field,          OPT, 256,  "the field that is wrong, such as input.video_path")                    \
    F(T, STR, scope,          OPT, 64,   "BUSY: what the limit is on, such as queue or requests")                \
    F(T, U64, limit,          OPT, 0,    "the limit that was met")                                               \
    F(T, U64, current,        OPT, 0,    "the figure that met it")                                               \
    F(T, U32, retry_after_ms, OPT, 0,    "when another try makes sense; 0 never")
#define TASK_FIELDS(F, T)                                                                                         \
    F(T, STR, id,         REQ, 128,  "task id: [A-Za-z0-9][A-Za-z0-9._-]{0,127}, no two dots together, not pending") \
    F(T, STR, task,       REQ, 64,   "node to run: [a-z0-9_]+.[a-z0-9_]+; names the stage")                      \
    F(T, BIN, token,      REQ, 16,   "submit token: 16 random bytes; the same token again is the same submit")  \
    F(T, RAW, input,      OPT, 0,    "map of the node's inputs")                                                 \
    F(T, STR, owner,      OPT, 128,  "user that the task belongs to")                                            \
    F(T, U32, timeout_ms, OPT, 0,    "start to close: time limit of one attempt; 0: the node's own")             \
    F(T, U64, delay_ms,   OPT, 0,    "starts no sooner than so long after it was accepted; at most ten years")   \
    F(T, U64, not_before_ms, OPT, 0, "wall clock: starts no sooner")                                             \
    F(T, U64, schedule_to_start_ms, OPT, 0, "failed with TIMEOUT when no worker has started it so long after it could; 0: no limit") \
    F(T, U64, schedule_to_close_ms, OPT, 0, "failed with TIMEOUT when it has not ended so long after it was accepted, all attempts together") \
    F(T, U32, failures_max, OPT, 0,  "failures after which it has failed for good, at most 1000; 0: the node's own") \
    F(T, U32, crashes_max, OPT, 0,   "lost leases after which it is quarantined, at most 100; 0: the node's own") \
    F(T, U32, retry_ms,   OPT, 0,    "first wait before another attempt, doubled each time; 0: the node's own")  \
    F(T, STR, callback,   OPT, 2048, "http or https address that is told when the run ends, or at once of a hit; each distinct one of a run once") \
    F(T, STR, reuse,      OPT, 8,    "name (the default): a completed stage whose key outputs are there is a hit; input: only one of the same input; never: none is")
#define RECEIPT_FIELDS(F, T)                                                                                      \
    F(T, U32, status,         REQ, 0,    "0: kept; else why not, with the fields of an error")                   \
    F(T, STR, id,             OPT, 128,  "task id")                                                              \
    F(T, STR, task,           OPT, 64,   "node")                                                                 \
    F(T, STR, state,          OPT, 16,   "state of the stage now")                                               \
    F(T, STR, reuse,          OPT, 8,    "miss: queued; wait: already on its way; hit: done before")             \
    F(T, STR, durability,     OPT, 16,   "what Redis promises: memory, everysec or always")                      \
    ERROR_FIELDS(F, T)
#define REF_FIELDS(F, T)                                                                                          \
    F(T, STR, id,         REQ, 128,  "task id")                                                                  \
    F(T, STR, task,       OPT, 64,   "stage; empty: all of them")
#define WAIT_FIELDS(F, T)                                                                                         \
    REF_FIELDS(F, T)                                                                                             \
    F(T, U32, timeout_ms, OPT, 0,    "answered TIMEOUT after so long; at most and by default 60000; ask again")
#define RECORD_FIELDS(F, T)                                                                                       \
    F(T, STR, id,           REQ, 128,  "task id")                                                                \
    F(T, STR, status,       REQ, 16,   "derived from the stages: pending, running, completed, failed or cancelled") \
    F(T, STR, storage_path, OPT, 4096, "the task's folder on the shared disk")                                   \
    F(T, U64, created_ms,   OPT, 0,    "wall clock, milliseconds since 1970 (as all _ms that are times)")        \
    F(T, RAW, stages,       REQ, 0,    "map of task name to stage")
#define STAGE_FIELDS(F, T)                                                                                        \
    F(T, STR, state,      REQ, 16,   "see states")                                                               \
    F(T, U32, generation, OPT, 0,    "times it was queued again")                                                \
    F(T, U32, attempt,    OPT, 0,    "times it was handed out")                                                  \
    F(T, U32, failures,   OPT, 0,    "times a worker said it failed")                                            \
    F(T, U32, crashes,    OPT, 0,    "times its lease was lost")                                                 \
    F(T, STR, priority,   OPT, 8,    "normal, high or low")                                                      \
    F(T, F64, progress,   OPT, 0,    "0..1 while running")                                                       \
    F(T, STR, worker,     OPT, 128,  "who runs or ran it")                                                       \
    F(T, STR, owner,      OPT, 128,  "user that it belongs to")                                                  \
    F(T, U64, due_ms,     OPT, 0,    "scheduled: when it may start")                                             \
    F(T, U64, created_ms, OPT, 0,    "accepted")                                                                 \
    F(T, U64, started_ms, OPT, 0,    "the latest attempt began")                                                 \
    F(T, U64, ended_ms,   OPT, 0,    "reached its terminal state")                                               \
    F(T, RAW, input,      OPT, 0,    "as submitted")                                                             \
    F(T, RAW, output,     OPT, 0,    "map, when completed")                                                      \
    F(T, RAW, error,      OPT, 0,    "map, see fault, when failed")                                              \
    F(T, RAW, usage,      OPT, 0,    "map of the worker's figures: wall_ms, user_ms, system_ms, rss_bytes")      \
    F(T, RAW, history,    OPT, 0,    "array of attempt: those before this one that failed or crashed, oldest first; the latest 16") \
    F(T, STR, callback,   OPT, 2048, "address named last")                                                        \
    F(T, STR, callback_id, OPT, 128, "task id of the delivery to it; empty: the run has not ended")              \
    F(T, U32, timeout_ms, OPT, 0,    "time limit of one attempt, as submitted; 0: the node's own")
#define ATTEMPT_FIELDS(F, T)                                                                                      \
    F(T, U32, attempt,    REQ, 0,    "its number")                                                               \
    F(T, STR, state,      REQ, 16,   "failed or crashed")                                                        \
    F(T, STR, worker,     OPT, 128,  "who ran it")                                                               \
    F(T, U64, started_ms, OPT, 0,    "when")                                                                     \
    F(T, U64, ended_ms,   OPT, 0,    "when")                                                                     \
    F(T, RAW, error,      OPT, 0,    "map, see fault")                                                           \
    F(T, RAW, usage,      OPT, 0,    "map of the worker's figures")
#define FAULT_FIELDS(F, T)                                                                                        \
    F(T, STR, code,    REQ, 32,   "name of a status, such as NOT_FOUND or FAILED")                               \
    F(T, STR, message, OPT, 4096, "a sentence for a person")                                                     \
    F(T, STR, field,   OPT, 256,  "the input that is wrong, when one is")                                        \
    F(T, I64, exit,    OPT, 0,    "exit code of the engine")                                                     \
    F(T, I64, signal,  OPT, 0,    "signal that ended it")                                                        \
    F(T, STR, stderr,  OPT, 4096, "its last words")
#define LIST_FIELDS(F, T)                                                                                         \
    F(T, STR, state,   OPT, 16,   "only these: scheduled, pending, running, completed, failed, cancelled, ended, dead; empty: all but dead") \
    F(T, STR, service, OPT, 32,   "only this queue's")                                                           \
    F(T, STR, task,    OPT, 64,   "only this node's")                                                            \
    F(T, U64, since_ms, OPT, 0,   "only those whose at_ms is no earlier")                                        \
    F(T, U64, until_ms, OPT, 0,   "only those whose at_ms is earlier; 0: all")                                                           \
    F(T, U32, limit,   OPT, 0,    "most items; 0: 100; at most 1000")                                            \
    F(T, STR, cursor,  OPT, 256,  "as the last answer gave it; empty: from the start")
#define LISTING_FIELDS(F, T)                                                                                      \
    F(T, RAW, items,  REQ, 0,     "array of maps id, task, state, at_ms (due, accepted, started or ended)")           \
    F(T, STR, cursor, OPT, 256,   "give it to get more; empty: that was all")
#define CLAIM_FIELDS(F, T)                                                                                        \
    F(T, BIN, session, REQ, 16,   "the worker's session")                                                        \
    F(T, U64, seq,     REQ, 0,    "claim sequence of the session, from 1, grows by one with every CLAIM")        \
    F(T, STR, worker,  OPT, 128,  "the worker's name, shown with what it runs")
#define HANDOUT_FIELDS(F, T)                                                                                      \
    F(T, STR, id,           REQ, 128,  "task id")                                                                \
    F(T, STR, task,         REQ, 64,   "node to run")                                                            \
    F(T, BIN, session,      REQ, 16,   "the session it is lent to")                                              \
    F(T, BIN, token,        REQ, 12,   "lease token: the right to this attempt; opaque")                         \
    F(T, U32, attempt,      OPT, 0,    "1 for the first")                                                        \
    F(T, U32, generation,   OPT, 0,    "of the queue entry")                                                     \
    F(T, U32, timeout_ms,   OPT, 0,    "time limit of this attempt; 0: the node's own")                          \
    F(T, U32, failures,     OPT, 0,    "attempts that failed before")                                            \
    F(T, U32, crashes,      OPT, 0,    "attempts whose lease was lost before")                                   \
    F(T, RAW, input,        OPT, 0,    "final: what it refers to is filled in")                                  \
    F(T, RAW, checkpoint,   OPT, 0,    "what an earlier attempt left for this one; in RETURN: what the next one is to get, at most 65536 bytes") \
    F(T, BOOL, owned,       OPT, 0,    "the task is a user's: what it asks for may not reach private addresses")
#define HEARTBEAT_FIELDS(F, T)                                                                                    \
    F(T, BIN, session,    REQ, 16,  "the worker's session")                                                      \
    F(T, U64, claim_open, REQ, 0,   "oldest claim sequence without an answer, or the next one if none is open")  \
    F(T, STR, worker,     OPT, 128, "the worker's name")                                                         \
    F(T, STR, services,   OPT, 640, "services it claims from, separated by commas")                              \
    F(T, U32, slots,      OPT, 0,   "tasks it runs at once")                                                     \
    F(T, RAW, held,       OPT, 0,   "array of hold: every attempt it runs or whose DONE is not acknowledged")
#define HOLD_FIELDS(F, T)                                                                                         \
    F(T, STR, id,       REQ, 128, "task id")                                                                     \
    F(T, STR, task,     REQ, 64,  "node")                                                                        \
    F(T, BIN, token,    REQ, 12,  "lease token")                                                                 \
    F(T, F64, progress, OPT, 0,   "0..1; absent: as before")
#define BEAT_FIELDS(F, T)                                                                                         \
    F(T, RAW, stale,  OPT, 0, "array of lease tokens it no longer has: kill that work, report nothing")          \
    F(T, RAW, cancel, OPT, 0, "array of lease tokens to stop, then DONE with state cancelled")                   \
    F(T, BOOL, drain, OPT, 0, "true: claim nothing while an operator wants it so")
#define RESULT_FIELDS(F, T)                                                                                       \
    F(T, STR, id,      REQ, 128, "task id")                                                                      \
    F(T, STR, task,    REQ, 64,  "node")                                                                         \
    F(T, BIN, session, REQ, 16,  "the worker's session")                                                         \
    F(T, BIN, token,   REQ, 12,  "lease token")                                                                  \
    F(T, STR, state,   REQ, 16,  "completed, skipped, failed (for good), cancelled, retry (it failed, another attempt may not) or snoozed (put off, no failure)") \
    F(T, STR, worker,  OPT, 128, "the worker's name")                                                            \
    F(T, RAW, output,  OPT, 0,   "map")                                                                          \
    F(T, RAW, error,   OPT, 0,   "map, see fault")                                                               \
    F(T, RAW, usage,   OPT, 0,   "map")                                                                          \
    F(T, U64, retry_after_ms, OPT, 0, "retry: wait so long instead of the back-off; snoozed: so long, at least 1") \
    F(T, RAW, checkpoint, OPT, 0, "retry, snoozed: what the next attempt is to get, at most 65536 bytes; absent: as before")
#define OUTCOME_FIELDS(F, T)                                                                                      \
    F(T, U32, status,  REQ, 0,    "0: written (or written before under this token); STALE: another attempt has it") \
    F(T, STR, id,      OPT, 128,  "task id")                                                                     \
    F(T, STR, task,    OPT, 64,   "node")                                                                        \
    F(T, STR, message, OPT, 1024, "a sentence for a person")
#define REGISTER_FIELDS(F, T)                                                                                     \
    F(T, BIN, session, REQ, 16,  "the worker's session")                                                         \
    F(T, RAW, nodes,   REQ, 0,   "array of node")
#define NODE_FIELDS(F, T)                                                                                         \
    F(T, STR, name,       REQ, 64,   "service.method")                                                           \
    F(T, STR, doc,        OPT, 1024, "one line")                                                                 \
    F(T, RAW, inputs,     OPT, 0,    "array of input")                                                           \
    F(T, RAW, outputs,    OPT, 0,    "array of names")                                                           \
    F(T, RAW, key,        OPT, 0,    "array of the outputs that must be there for a reuse hit; other names of one stand behind it, each after a |") \
    F(T, U32, timeout_ms, OPT, 0,    "time limit of one attempt; 0: none")                                       \
    F(T, U32, failures_max, OPT, 0,  "failures after which a stage has failed for good; 0: the setting's")       \
    F(T, U32, crashes_max, OPT, 0,   "lost leases after which a stage is quarantined; 0: the setting's")          \
    F(T, U32, retry_ms,   OPT, 0,    "first wait before another attempt, doubled each time; 0: the formula")       \
    F(T, BOOL, available, OPT, 0,    "answers: a worker that claims from its service is alive")                   \
    F(T, BOOL, space,     OPT, 0,    "it writes files: its tasks are refused while the disk is below its low mark")
#define INPUT_FIELDS(F, T)                                                                                        \
    F(T, STR, name,     REQ, 64,  "key in the input map")                                                        \
    F(T, STR, type,     REQ, 16,  "text, path, folder, whole, number, switch, list, map or any")                 \
    F(T, BOOL, required, OPT, 0,  "true: a submit without it is INVALID")                                        \
    F(T, RAW, fallback, OPT, 0,   "value when it is not given")                                                  \
    F(T, STR, doc,      OPT, 256, "one line")                                                                    \
    F(T, STR, upstream, OPT, 256, "outputs that stand in when it is not given, separated by commas, the best first: that of the task's newest completed stage that wrote one")

#define SUBSCRIBE_FIELDS(F, T)                                                                                    \
    F(T, U64, since,      OPT, 0,   "number of the last update seen; 0: what is now")                            \
    F(T, STR, id,         OPT, 128, "only this task's")                                                          \
    F(T, STR, service,    OPT, 32,  "only this queue's")                                                         \
    F(T, U32, limit,      OPT, 0,   "most updates in the answer; 0: 256; at most 1000")                          \
    F(T, U32, timeout_ms, OPT, 0,   "answered without updates after so long; at most and by default 60000; ask again")
#define UPDATES_FIELDS(F, T)                                                                                      \
    F(T, U64, seq,      REQ, 0, "number of the newest update looked at: the next since")                         \
    F(T, BOOL, reset,   OPT, 0, "true: updates since then are no longer kept, or are another store's; snapshot says what is now") \
    F(T, RAW, snapshot, OPT, 0, "since was 0, or reset: the record when an id was given, else the ledger")       \
    F(T, RAW, items,    OPT, 0, "array of update")
#define UPDATE_FIELDS(F, T)                                                                                       \
    F(T, U64, seq,   REQ, 0,   "its number: every transition has the next one")                                  \
    F(T, STR, id,    REQ, 128, "task id")                                                                        \
    F(T, STR, task,  REQ, 64,  "stage")                                                                          \
    F(T, STR, state, REQ, 16,  "the state it came into")                                                         \
    F(T, U64, at_ms, OPT, 0,   "when")
#define WHY_FIELDS(F, T)                                                                                          \
    F(T, STR, task,        REQ, 64,   "stage")                                                                   \
    F(T, STR, state,       REQ, 16,   "see states")                                                              \
    F(T, STR, reason,      REQ, 16,   "one of the reasons")                                                      \
    F(T, STR, text,        OPT, 1024, "a sentence for a person")                                                 \
    F(T, U64, position,    OPT, 0,    "queued: its place in its queue, 1 is next; higher priorities go before; 0: not told") \
    F(T, U64, estimate_ms, OPT, 0,    "when it may start, by how fast this queue's tasks ended lately; 0: not known") \
    F(T, U64, due_ms,      OPT, 0,    "delayed, retrying, snoozed: wall clock")                                  \
    F(T, STR, worker,      OPT, 128,  "running: who has it")
/* accepted = completed + skipped + failed + quarantined + cancelled + scheduled + pending + running */
#define LEDGER_FIELDS(F, T)                                                                                       \
    F(T, U64, accepted,    REQ, 0, "stages ever queued or scheduled; one that runs again after its end counts again") \
    F(T, U64, completed,   REQ, 0, "ended so")                                                                   \
    F(T, U64, skipped,     REQ, 0, "ended so")                                                                   \
    F(T, U64, failed,      REQ, 0, "ended so")                                                                   \
    F(T, U64, quarantined, REQ, 0, "ended so")                                                                   \
    F(T, U64, cancelled,   REQ, 0, "ended so")                                                                   \
    F(T, U64, scheduled,   REQ, 0, "wait for their time")                                                        \
    F(T, U64, pending,     REQ, 0, "wait in their queues")                                                       \
    F(T, U64, running,     REQ, 0, "held by a worker, with those being cancelled")                               \
    F(T, BOOL, balanced,   REQ, 0, "accepted is the sum of the others")                                          \
    F(T, U64, dead,        REQ, 0, "dead letters: failed and quarantined ones nobody replayed or purged")        \
    F(T, U64, retries,     REQ, 0, "attempts that failed and were followed by another")                          \
    F(T, U64, crashes,     REQ, 0, "leases lost with a stage")                                                   \
    F(T, U64, requeues,    REQ, 0, "stages that went back to their queue")                                       \
    F(T, U64, seq,         REQ, 0, "number of the newest update")                                                \
    F(T, U64, audits,      REQ, 0, "passes of the audit that ended")                                             \
    F(T, U64, audited_ms,  OPT, 0, "wall clock: when the last one ended")                                        \
    F(T, U64, audited,     REQ, 0, "stages that it looked at")                                                   \
    F(T, U64, repaired,    REQ, 0, "stages that audits ever found held by none or by two, and repaired")
#define STEER_FIELDS(F, T)                                                                                        \
    F(T, STR, action,  REQ, 16,  "pause, resume (a service), drain, undrain (a worker), audit")                  \
    F(T, STR, service, OPT, 32,  "the queue")                                                                    \
    F(T, STR, worker,  OPT, 128, "the worker's name")
#define STEERED_FIELDS(F, T)                                                                                      \
    F(T, BOOL, changed, OPT, 0,  "false: it was so before")
#define DRAIN_FIELDS(F, T)                                                                                        \
    F(T, BOOL, on, OPT, 0, "true: new peers are refused, and those there are sent away as soon as nothing of theirs is under way")
#define CRON_FIELDS(F, T)                                                                                         \
    F(T, STR, action,   OPT, 16,  "set, remove or list (the default); absent in answers")                        \
    F(T, STR, name,     OPT, 64,  "[a-z0-9][a-z0-9_-]*: the schedule's name; its tasks are NAME-20260131T030000Z") \
    F(T, STR, schedule, OPT, 128, "five fields of cron: minute hour day-of-month month day-of-week, or @hourly @daily @weekly @monthly @yearly") \
    F(T, STR, zone,     OPT, 64,  "time zone such as Asia/Shanghai; empty: UTC")                                 \
    F(T, STR, task,     OPT, 64,  "node to run")                                                                 \
    F(T, RAW, input,    OPT, 0,   "map of the node's inputs")                                                    \
    F(T, STR, priority, OPT, 8,   "normal, high or low")                                                         \
    F(T, U32, timeout_ms, OPT, 0, "time limit of one attempt; 0: the node's own")                                \
    F(T, U64, next_ms,  OPT, 0,   "answers: when it fires next; 0: never again")                                 \
    F(T, U64, last_ms,  OPT, 0,   "answers: the slot that fired last")
#define FORGET_FIELDS(F, T)                                                                                       \
    F(T, STR, id,    REQ, 128, "task id")                                                                        \
    F(T, BOOL, force, OPT, 0,  "true: stages that have not ended are cancelled; else they make it a CONFLICT") \
    F(T, U64, ended_before_ms, OPT, 0, "a record whose last stage ended then or later is a CONFLICT: it is not what TASKS told of; 0: any; 1: none may be there")
#define FORGOTTEN_FIELDS(F, T)                                                                                    \
    F(T, STR, status,  REQ, 16, "success, partial_failed or failed")                                             \
    F(T, RAW, results, REQ, 0,  "array of maps resource (local_directory, redis, minio), status (deleted, skipped, failed), message, retriable")
/* These two are CreateTask and GetTaskStatus of the task service, with its names of fields. */
#define CREATE_TASK_FIELDS(F, T)                                                                                  \
    F(T, STR, temp_file_path, REQ, 4096, "absolute path of the video, beneath storage.local or one of storage.input_roots; it is moved") \
    F(T, BIN, token,          OPT, 16,   "16 random bytes: the same call again, after a lost answer, has the same task_id; without it each call is a new task")
#define CREATED_TASK_FIELDS(F, T)                                                                                 \
    F(T, STR, task_id,        REQ, 128,  "UUID v4")
#define GET_TASK_STATUS_FIELDS(F, T)                                                                              \
    F(T, STR, task_id,        REQ, 128,  "task id")
#define TASK_STATUS_FIELDS(F, T)                                                                                  \
    F(T, U32, status,         REQ, 0,    "0 PENDING, 1 PROCESSING, 2 COMPLETED, 3 FAILED")                        \
    F(T, STR, result_file_path, OPT, 4096, "of COMPLETED")                                                       \
    F(T, STR, error_message,  OPT, 4096, "of FAILED")                                                             \
    F(T, STR, created_at,     OPT, 64,   "RFC 3339")                                                              \
    F(T, STR, updated_at,     OPT, 64,   "RFC 3339")

#define TASKS_FIELDS(F, T)                                                                                        \
    F(T, STR, cursor,     OPT, 64,  "as the page before gave it; empty: from the beginning")                     \
    F(T, U32, limit,      OPT, 0,   "about so many in the answer; 0: 256; at most 1000")                         \
    F(T, U64, created_before_ms, OPT, 0, "only those created before; 0: all")                                    \
    F(T, RAW, ids,        OPT, 0,   "array of at most 1000 task ids: those of them that there are, in one page")
#define TASKS_PAGE_FIELDS(F, T)                                                                                   \
    F(T, STR, cursor,     OPT, 64,  "for the next page; empty: there is none. One that comes or goes meanwhile may be missed, one may come twice") \
    F(T, RAW, items,      REQ, 0,   "array of task_item")
#define TASK_ITEM_FIELDS(F, T)                                                                                    \
    F(T, STR, id,         REQ, 128, "task id")                                                                    \
    F(T, STR, owner,      OPT, 128, "user that it belongs to")                                                    \
    F(T, U64, created_ms, OPT, 0,   "accepted first")                                                             \
    F(T, U64, ended_ms,   OPT, 0,   "its last stage ended; 0: not all have")                                      \
    F(T, BOOL, living,    OPT, 0,   "a stage has not ended, or an outside processor has it")
#define DISK_FIELDS(F, T)                                                                                         \
    F(T, U32, limit,      OPT, 0,   "most tasks and users in the answer, the largest; 0: 20; at most 1000")       \
    F(T, BOOL, measure,   OPT, 0,   "true: look at the folders now, and wait for it; else as they were last looked at, which is done anew behind it when a minute is over")
#define DISK_USE_FIELDS(F, T)                                                                                     \
    F(T, STR, root,       REQ, 4096, "storage.root")                                                              \
    F(T, U64, total_bytes, REQ, 0,  "of its file system")                                                         \
    F(T, U64, free_bytes, REQ, 0,   "available")                                                                  \
    F(T, U64, low_bytes,  REQ, 0,   "storage.low_bytes")                                                          \
    F(T, U64, high_bytes, REQ, 0,   "storage.high_bytes")                                                         \
    F(T, BOOL, refusing,  REQ, 0,   "it was below low, and is not above high yet: what needs space is BUSY")      \
    F(T, U64, refused,    REQ, 0,   "tasks refused so by this state service")                                     \
    F(T, U64, folders,    OPT, 0,   "tasks' folders there are")                                                   \
    F(T, U64, bytes,      OPT, 0,   "in them")                                                                    \
    F(T, U64, trash_bytes, OPT, 0,  "in the trash")                                                               \
    F(T, U64, measured_ms, OPT, 0,  "when the folders were looked at")                                            \
    F(T, BOOL, partial,   OPT, 0,   "there were too many files to look at all")                                   \
    F(T, RAW, tasks,      OPT, 0,   "array of maps id, owner, bytes, files: the largest first")                   \
    F(T, RAW, users,      OPT, 0,   "array of maps owner, bytes, tasks: the largest first")

/* M(TYPE, name): struct name, layout name_layout, in the order of the documentation. */
#define MESSAGES(M)                                                                                               \
    M(HELLO, hello) M(WELCOME, welcome) M(BYE, bye) M(ERROR, error) M(TASK, task) M(RECEIPT, receipt) M(REF, ref) M(WAIT, wait)  \
    M(RECORD, record) M(STAGE, stage) M(ATTEMPT, attempt) M(FAULT, fault) M(LIST, list) M(LISTING, listing) M(CLAIM, claim)           \
    M(HANDOUT, handout) M(HEARTBEAT, heartbeat) M(HOLD, hold) M(BEAT, beat) M(RESULT, result)                     \
    M(OUTCOME, outcome) M(REGISTER, register) M(NODE, node) M(INPUT, input)                         \
    M(SUBSCRIBE, subscribe) M(UPDATES, updates) M(UPDATE, update) M(WHY, why) M(LEDGER, ledger)                    \
    M(STEER, steer) M(STEERED, steered) M(DRAIN, drain) M(CRON, cron)                  \
    M(FORGET, forget) M(FORGOTTEN, forgotten)                                                                     \
    M(CREATE_TASK, create_task) M(CREATED_TASK, created_task) M(GET_TASK_STATUS, get_task_status) M(TASK_STATUS, task_status) \
    M(TASKS, tasks) M(TASKS_PAGE, tasks_page) M(TASK_ITEM, task_item) M(DISK, disk) M(DISK_USE, disk_use)
// clang-format on

enum verb {
#define VERB_ROW(name, number, who, body, answer, text) VERB_##name = (number),
    VERBS(VERB_ROW)
#undef VERB_ROW
};
enum { VERB_END = 42 }; /* one more than the greatest verb: the size of dispatch tables */

enum priority {
#define PRIORITY_ROW(name, number, text) PRIORITY_##name = (number),
    PRIORITIES(PRIORITY_ROW)
#undef PRIORITY_ROW
        PRIORITY_END
};

enum stage_state {
#define STATE_ROW(name, number, text, terminal) STATE_##name = (number),
    STATES(STATE_ROW)
#undef STATE_ROW
        STATE_END
};

enum reason {
#define REASON_ROW(name, text, doc) REASON_##name,
    REASONS(REASON_ROW)
#undef REASON_ROW
        REASON_END
};

enum { CHECKPOINT_MAX = 65536, CRON_NAME_MAX = 64 };
