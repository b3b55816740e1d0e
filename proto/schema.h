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
    V(CLAIM,     20, "worker",                   "claim",     "handout[]", "hand me up to header.count tasks; parked until there are any") \
    V(HEARTBEAT, 21, "worker",                   "heartbeat", "beat",      "renew the session's lease and all it holds") \
    V(DONE,      22, "worker",                   "result[]",  "outcome[]", "attempts have ended")                     \
    V(RETURN,    23, "worker, or broker",        "handout[]", "outcome[]", "take these back, they did not run; extra fields are ignored") \
    V(REGISTER,  24, "worker",                   "register",  "",          "the nodes this worker runs")              \
    V(STATUS,    30, "client or operator",       "",          "status",    "figures of the broker")                   \
    V(WORKERS,   31, "client or operator",       "",          "worker[]",  "workers connected to this broker")        \
    V(QUEUES,    32, "client or operator",       "",          "queue[]",   "queues with their depths and running counts")

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
    F(T, U32, timeout_ms, OPT, 0,    "time limit of one attempt; 0: the node's own")                             \
    F(T, STR, callback,   OPT, 2048, "refused as UNSUPPORTED until callbacks land")
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
    F(T, U64, created_ms, OPT, 0,    "accepted")                                                                 \
    F(T, U64, started_ms, OPT, 0,    "the latest attempt began")                                                 \
    F(T, U64, ended_ms,   OPT, 0,    "reached its terminal state")                                               \
    F(T, RAW, input,      OPT, 0,    "as submitted")                                                             \
    F(T, RAW, output,     OPT, 0,    "map, when completed")                                                      \
    F(T, RAW, error,      OPT, 0,    "map, see fault, when failed")                                              \
    F(T, RAW, usage,      OPT, 0,    "map of the worker's figures: wall_ms, user_ms, system_ms, rss_bytes")
#define FAULT_FIELDS(F, T)                                                                                        \
    F(T, STR, code,    REQ, 32,   "name of a status, such as NOT_FOUND or FAILED")                               \
    F(T, STR, message, OPT, 4096, "a sentence for a person")                                                     \
    F(T, STR, field,   OPT, 256,  "the input that is wrong, when one is")                                        \
    F(T, I64, exit,    OPT, 0,    "exit code of the engine")                                                     \
    F(T, I64, signal,  OPT, 0,    "signal that ended it")                                                        \
    F(T, STR, stderr,  OPT, 4096, "its last words")
#define LIST_FIELDS(F, T)                                                                                         \
    F(T, STR, state,   OPT, 16,   "only these: pending, running, completed, failed, cancelled, ended; empty: all") \
    F(T, STR, service, OPT, 32,   "only this queue's")                                                           \
    F(T, U32, limit,   OPT, 0,    "most items; 0: 100; at most 1000")                                            \
    F(T, STR, cursor,  OPT, 256,  "as the last answer gave it; empty: from the start")
#define LISTING_FIELDS(F, T)                                                                                      \
    F(T, RAW, items,  REQ, 0,     "array of maps id, task, state, at_ms (accepted, started or ended)")           \
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
    F(T, RAW, input,        OPT, 0,    "as submitted")
#define HEARTBEAT_FIELDS(F, T)                                                                                    \
    F(T, BIN, session,    REQ, 16,  "the worker's session")                                                      \
    F(T, U64, claim_open, REQ, 0,   "oldest claim sequence without an answer, or the next one if none is open")  \
    F(T, STR, worker,     OPT, 128, "the worker's name")                                                         \
    F(T, RAW, held,       OPT, 0,   "array of hold: every attempt it runs or whose DONE is not acknowledged")
#define HOLD_FIELDS(F, T)                                                                                         \
    F(T, STR, id,       REQ, 128, "task id")                                                                     \
    F(T, STR, task,     REQ, 64,  "node")                                                                        \
    F(T, BIN, token,    REQ, 12,  "lease token")                                                                 \
    F(T, F64, progress, OPT, 0,   "0..1; absent: as before")
#define BEAT_FIELDS(F, T)                                                                                         \
    F(T, RAW, stale,  OPT, 0, "array of lease tokens it no longer has: kill that work, report nothing")          \
    F(T, RAW, cancel, OPT, 0, "array of lease tokens to stop, then DONE with state cancelled")                   \
    F(T, BOOL, drain, OPT, 0, "true: claim nothing more, finish what runs, leave")
#define RESULT_FIELDS(F, T)                                                                                       \
    F(T, STR, id,      REQ, 128, "task id")                                                                      \
    F(T, STR, task,    REQ, 64,  "node")                                                                         \
    F(T, BIN, session, REQ, 16,  "the worker's session")                                                         \
    F(T, BIN, token,   REQ, 12,  "lease token")                                                                  \
    F(T, STR, state,   REQ, 16,  "completed, skipped, failed or cancelled")                                      \
    F(T, STR, worker,  OPT, 128, "the worker's name")                                                            \
    F(T, RAW, output,  OPT, 0,   "map")                                                                          \
    F(T, RAW, error,   OPT, 0,   "map, see fault")                                                               \
    F(T, RAW, usage,   OPT, 0,   "map")
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
    F(T, RAW, key,        OPT, 0,    "array of the outputs that must be there for a reuse hit")                  \
    F(T, U32, timeout_ms, OPT, 0,    "time limit of one attempt; 0: none")
#define INPUT_FIELDS(F, T)                                                                                        \
    F(T, STR, name,     REQ, 64,  "key in the input map")                                                        \
    F(T, STR, type,     REQ, 16,  "text, path, whole, number, switch, list, map or any")                         \
    F(T, BOOL, required, OPT, 0,  "true: a submit without it is INVALID")                                        \
    F(T, RAW, fallback, OPT, 0,   "value when it is not given")                                                  \
    F(T, STR, doc,      OPT, 256, "one line")

/* M(TYPE, name): struct name, layout name_layout, in the order of the documentation. */
#define MESSAGES(M)                                                                                               \
    M(HELLO, hello) M(WELCOME, welcome) M(BYE, bye) M(ERROR, error) M(TASK, task) M(RECEIPT, receipt) M(REF, ref) M(WAIT, wait)  \
    M(RECORD, record) M(STAGE, stage) M(FAULT, fault) M(LIST, list) M(LISTING, listing) M(CLAIM, claim)           \
    M(HANDOUT, handout) M(HEARTBEAT, heartbeat) M(HOLD, hold) M(BEAT, beat) M(RESULT, result)                     \
    M(OUTCOME, outcome) M(REGISTER, register) M(NODE, node) M(INPUT, input)
// clang-format on

enum verb {
#define VERB_ROW(name, number, who, body, answer, text) VERB_##name = (number),
    VERBS(VERB_ROW)
#undef VERB_ROW
};
enum { VERB_END = 33 }; /* one more than the greatest verb: the size of dispatch tables */

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
