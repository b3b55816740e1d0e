#pragma once
/* Every flag of every verb: one row each. The parser, --help, and what the tests expect of the man
 * page and of the completions come from these rows.
 *
 * Columns: kind, field of struct options, name, letter or 0, value's name or NULL, verbs that take
 * it, what it is. SWITCH takes no value, TEXT any, TEXTS may be repeated, WHOLE is a number >= 0,
 * TIME is a number with a unit (ms, s, m, h, d; none: seconds) kept as milliseconds. A WHOLE or
 * TIME that was not given is -1. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum {
    ON_UP = 1 << 0,
    ON_SUBMIT = 1 << 1,
    ON_SHOW = 1 << 2,
    ON_WAIT = 1 << 3,
    ON_LIST = 1 << 4,
    ON_CANCEL = 1 << 5,
    ON_STATUS = 1 << 6,
    ON_WORKERS = 1 << 7,
    ON_QUEUES = 1 << 8,
    ON_NODES = 1 << 9,
    ON_HELP = 1 << 10,
    ON_DEAD = 1 << 11,
    ON_CRON = 1 << 12,
    ON_PAUSE = 1 << 13, /* and resume */
    ON_DRAIN = 1 << 14, /* and undrain */
    ON_LEDGER = 1 << 15,
    ON_AUDIT = 1 << 16,
    ON_WHY = 1 << 17,
    ON_EVENTS = 1 << 18,
    ON_DELETE = 1 << 19,
    ON_CREATE = 1 << 22,
    ON_MIGRATE = 1 << 23,
    ON_DISK = 1 << 24,
    ON_FILTER = ON_LIST | ON_CANCEL | ON_DEAD,
    ON_CLIENTS = ON_SUBMIT | ON_SHOW | ON_WAIT | ON_STATUS | ON_WORKERS | ON_QUEUES | ON_NODES |
                 ON_CRON | ON_PAUSE | ON_DRAIN | ON_LEDGER | ON_AUDIT | ON_WHY | ON_EVENTS |
                 ON_DELETE | ON_CREATE | ON_DISK | ON_FILTER,
    ON_LOCAL = ON_UP | ON_MIGRATE, /* they ask no broker */
    ON_ALL = ON_LOCAL | ON_CLIENTS | ON_HELP
};

// clang-format off
#define FLAGS(F)                                                                                                \
    F(TEXT,   id,         "id",         0,   "ID",       ON_SUBMIT, "task to add the stage to (default: a new id)") \
    F(TEXT,   input,      "input",        'i', "JSON|@FILE", ON_SUBMIT | ON_CRON, "inputs as a JSON map, from FILE or (@-) from standard input") \
    F(TEXT,   priority,   "priority",     'p', "LEVEL",    ON_SUBMIT | ON_CRON, "high, normal or low (default: normal)") \
    F(TIME,   attempt_ms, "limit",        0,   "TIME",     ON_SUBMIT | ON_CRON, "longest time of one attempt (default: the node's own)") \
    F(TIME,   delay_ms,   "delay",        0,   "TIME",     ON_SUBMIT, "start no sooner than so long from now") \
    F(TEXT,   at,         "at",           0,   "WHEN",     ON_SUBMIT, "start no sooner than then: 2026-01-31T03:00, or with Z in UTC") \
    F(TIME,   start_ms,   "start-within", 0,   "TIME",     ON_SUBMIT, "fail it when no worker has started it so long after it could") \
    F(TIME,   close_ms,   "end-within",   0,   "TIME",     ON_SUBMIT, "fail it when it has not ended so long from now, all attempts together") \
    F(WHOLE,  failures,   "failures",     0,   "N",        ON_SUBMIT, "failures after which it has failed for good (default: the node's own)") \
    F(WHOLE,  crashes,    "crashes",      0,   "N",        ON_SUBMIT, "lost leases after which it is quarantined (default: 3)") \
    F(TIME,   retry_ms,   "retry",        0,   "TIME",     ON_SUBMIT, "first wait before another attempt, doubled each time (default: the node's own)") \
    F(TEXT,   owner,      "owner",        0,   "USER",     ON_SUBMIT, "user that it belongs to, whose quota it counts against") \
    F(TEXT,   callback,   "callback",     0,   "URL",      ON_SUBMIT, "http or https address that is told when the stage has ended") \
    F(TEXT,   reuse,      "reuse",        0,   "RULE",     ON_SUBMIT, "what counts as done before: name (the default), input (of the same input alone) or never") \
    F(SWITCH, force,      "force",        0,   NULL,       ON_SUBMIT | ON_DELETE, "submit: as --reuse never; delete: stages that have not ended as well") \
    F(SWITCH, wait,       "wait",         'w', NULL,       ON_SUBMIT | ON_CREATE, "wait until the stage has ended and show the record") \
    F(SWITCH, progress,   "progress",     0,   NULL,       ON_SUBMIT | ON_CREATE | ON_WAIT, "show progress on standard error also with --json") \
    F(SWITCH, quiet,      "quiet",        'q', NULL,       ON_SUBMIT | ON_CREATE | ON_WAIT | ON_MIGRATE, "no progress and no notes") \
    F(TEXT,   zone,       "zone",         0,   "ZONE",     ON_CRON,  "time zone of the schedule, such as Asia/Shanghai (default: UTC)") \
    F(TEXT,   state,      "state",        's', "STATE",    ON_LIST | ON_CANCEL, "only scheduled, pending, running, completed, failed, cancelled, ended or dead") \
    F(TEXT,   service,    "service",      0,   "SERVICE",  ON_FILTER | ON_EVENTS, "only stages of this service") \
    F(TEXT,   task,       "task",         0,   "NODE",     ON_FILTER, "only stages of this node") \
    F(TIME,   since_ms,   "since",        0,   "TIME",     ON_FILTER, "only those in this state since less than so long") \
    F(TIME,   until_ms,   "until",        0,   "TIME",     ON_FILTER, "only those in this state since longer than so long") \
    F(WHOLE,  items,      "limit",        'n', "N",        ON_FILTER | ON_EVENTS | ON_DISK, "at most N (default: list and dead ls 100, disk and events 20, of one task all)") \
    F(SWITCH, measure,    "measure",      0,   NULL,       ON_DISK, "look at every folder now, though it was done within a minute") \
    F(SWITCH, all,        "all",          0,   NULL,       ON_CANCEL | ON_DEAD, "all there are, when no filter is given") \
    F(SWITCH, dry_run,    "dry-run",      0,   NULL,       ON_CANCEL | ON_DEAD | ON_MIGRATE, "show which ones, and do nothing") \
    F(TEXT,   from,       "from",         0,   "DIR",      ON_MIGRATE, "folder of the older system (default: storage.legacy)") \
    F(TEXT,   to,         "to",           0,   "DIR",      ON_MIGRATE, "folder that its tasks go to (default: storage.root)") \
    F(SWITCH, back,       "back",         0,   NULL,       ON_MIGRATE, "move back what was moved before") \
    F(SWITCH, follow,     "follow",       'f', NULL,       ON_EVENTS | ON_SHOW, "go on as things happen; show: until the task has ended") \
    F(WHOLE,  after,      "after",        0,   "N",        ON_EVENTS, "updates after number N") \
    F(TEXT,   status,     "status",       0,   "ENDPOINT", ON_DRAIN, "the broker with this status endpoint, instead of a worker") \
    F(TEXTS,  input_roots, "input-root", 0,  "DIR",      ON_UP,     "folder whose files may be inputs; may be repeated (default: the current folder)") \
    F(TEXT,   services,   "services",   0,   "LIST",     ON_UP,     "services the workers run (default: ffmpeg,audio_separator,video,storage,system)") \
    F(WHOLE,  workers,    "workers",    0,   "N",        ON_UP,     "worker processes (default: 1)")            \
    F(WHOLE,  slots,      "slots",      0,   "N",        ON_UP,     "tasks a worker runs at once (default: 2); system has a worker of its own") \
    F(TEXT,   http,       "http",       0,   "ADDRESS",  ON_UP,     "address:port to serve HTTP on, port 0: any free one; or off (default: 127.0.0.1:8788)") \
    F(SWITCH, fused,      "fused",      0,   NULL,       ON_UP,     "broker and state service in one process: quicker, and one failure takes both") \
    F(TEXTS,  settings,   "set",        0,   "NAME=VALUE", ON_UP,   "any setting of gantry.yaml(5), such as lease_ms=5000; may be repeated") \
    F(WHOLE,  ready_fd,   "ready-fd",   0,   "FD",       ON_UP,     "write READY to this descriptor too once all is up") \
    F(TEXT,   data,       "data",       'd', "DIR",      ON_LOCAL | ON_CLIENTS, "folder of a local system (default: $GANTRY_DATA, ./gantry-data)") \
    F(TEXT,   broker,     "broker",     'b', "ENDPOINT", ON_CLIENTS, "clients' endpoint of a broker, several by commas (default: $GANTRY_BROKER)") \
    F(TIME,   timeout_ms, "timeout",    't', "TIME",     ON_UP | ON_CLIENTS, "longest time to wait for an answer (30s, 500ms, 2m)") \
    F(SWITCH, json,       "json",       'j', NULL,       ON_CLIENTS | ON_MIGRATE, "print JSON")                              \
    F(SWITCH, no_color,   "no-color",   0,   NULL,       ON_LOCAL | ON_CLIENTS, "no colours (also: NO_COLOR, or no terminal)") \
    F(SWITCH, help,       "help",       'h', NULL,       ON_ALL,     "this help")
// clang-format on

enum { TEXTS_MAX = 64 };

struct texts {
    const char *items[TEXTS_MAX];
    size_t count;
};

#define FLAG_C_SWITCH bool
#define FLAG_C_TEXT const char *
#define FLAG_C_TEXTS struct texts
#define FLAG_C_WHOLE int64_t
#define FLAG_C_TIME int64_t

struct options {
#define FLAG_MEMBER(kind, field, name, letter, value, on, doc) FLAG_C_##kind field;
    FLAGS(FLAG_MEMBER)
#undef FLAG_MEMBER
};

/* Takes the flags of a verb (its ON_ bit) out of argv, which starts with the verb's name; texts are
 * borrowed from it. 0 and *ret_first is the first argument that is no flag; or STATUS_INVALID
 * after a line on stderr that says what is wrong. */
int flags_parse(unsigned on, int argc, char **argv, struct options *ret_options, int *ret_first);

/* The flags of one verb, one aligned line each. */
void flags_print(FILE *out, unsigned on);

/* "1500ms", "2", "1.5", "2s", "3m", "1h", "2d" as milliseconds; -1 when it is none of these. */
int64_t flags_time(const char *text);
