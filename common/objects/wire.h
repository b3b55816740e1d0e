#pragma once
/* Requests to one object store over libcurl: several under way at once, each with its tries. Inside
 * this room only. */
#include "common/objects/name.h"
#include "common/objects/sign.h"

#include <curl/curl.h>

enum {
    WIRE_ERROR = 512,
    WIRE_LINK = 128,
    ASK_FIELDS = 8,
    ANSWER_BYTES_MAX = 8 << 20,
    REFUSAL_BYTES_MAX = 64 << 10,
    HEAD_BYTES_MAX = 64 << 10
};

struct exchange;

struct wire {
    CURLM *multi;
    struct endpoint endpoint;
    char access[SIGN_KEY_MAX];
    char secret[SIGN_KEY_MAX];
    char region[SIGN_REGION_MAX];
    char *ca_file;
    int64_t timeout_ms;
    uint32_t tries;
    struct exchange *first; /* all that live */
    int64_t turned_ms;      /* when it was driven last */
    bool driving;           /* libcurl is at it: it may not be called again from within */
    char error[WIRE_ERROR];
    char link[WIRE_LINK]; /* not "": the link failed, and this names no hosts, as the error does */
};

/* What is asked. All is borrowed until it has ended. */
struct ask {
    const char *method, *bucket, *key;     /* key NULL: of the bucket */
    struct sign_field query[ASK_FIELDS];   /* plain; up to the first without a name */
    struct sign_field headers[ASK_FIELDS]; /* the same; names in lower case */
    struct slice body;
    const char *sha256; /* of body; NULL: not known yet */
    uint32_t tries;     /* 0: as many as the wire has */
    bool late;          /* a 200 may say in its body that it failed */
    /* Takes the bytes of a good answer; not 0: the end. NULL: they are gathered. May not call the
     * wire. */
    int (*sink)(void *arg, const void *bytes, size_t size);
    void *arg;
};

enum exchange_state { EXCHANGE_IDLE, EXCHANGE_RUNS, EXCHANGE_WAITS, EXCHANGE_ENDED };

/* One request at a time, again and again. What came of it stands here until the next begins. */
struct exchange {
    struct wire *wire;
    struct exchange *next;
    CURL *easy;
    struct curl_slist *lines;
    char *url;
    struct ask ask;
    enum exchange_state state;
    uint32_t tried;
    int64_t due_ms;   /* when it waits for its next try */
    int64_t moved_ms; /* when a byte went or came last */
    int64_t asked_ms; /* when a byte went last */
    curl_off_t sent;
    size_t heard; /* bytes of heads */
    bool headed;  /* the head of an answer is complete */
    bool full;    /* a refusal with so much text that we heard no more of it */
    bool endless; /* another answer that had no end */
    int cut;      /* what comes of our having ended it ourselves; 0: we did not */
    char why[CURL_ERROR_SIZE];
    int result;
    bool again; /* another try might go better */
    int64_t wish_s;
    long http;
    char sha256[65]; /* of what is asked, where the ask has none */
    char code[64];   /* the store's name of an error */
    char *body;      /* what was gathered */
    size_t body_size, body_room;
};

/* Drives what is under way, at most wait_ms long; 0 or -errno. */
int wire_turn(struct wire *self, int wait_ms);
/* Keeps driving for so long; -ECANCELED when the watch says so. watch may be NULL. */
int wire_pause(struct wire *self, int64_t wait_ms, const struct objects_watch *watch);
bool watch_stops(const struct objects_watch *watch);
void watch_moved(const struct objects_watch *watch, uint64_t bytes);
/* Nothing is said any more. */
void wire_hush(struct wire *self);
__attribute__((format(printf, 2, 3))) void wire_say(struct wire *self, const char *format, ...);

struct exchange *exchange_new(struct wire *wire);
void exchange_destroy(struct exchange **self_p);
void exchange_begin(struct exchange *self, const struct ask *ask);
/* Until it has ended; its result, or -ECANCELED. */
int exchange_wait(struct exchange *self, const struct objects_watch *watch);
/* Both. */
int exchange_run(struct exchange *self, const struct ask *ask, const struct objects_watch *watch);
/* Ends it wherever it is. */
void exchange_drop(struct exchange *self);
/* "" when the answer has none. */
void exchange_header(const struct exchange *self, const char *name, char *ret_text, size_t size);
/* What the answer's head says of the object. */
void exchange_info(const struct exchange *self, struct object_info *ret_info);
struct slice exchange_body(const struct exchange *self);

/* exchange_send.c: one try of it, from its first byte; 0 or -errno. */
int exchange_send(struct exchange *self);
/* exchange.c, of which wire_turn() tells: libcurl has ended it; the time has come. */
void exchange_on_end(struct exchange *self, CURLcode code);
void exchange_tick(struct exchange *self, int64_t now_ms);
