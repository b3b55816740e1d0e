#pragma once
/* The protocol as docs/protocol.md has it, by msgpack-c alone: what a peer of the program says and
 * hears. Texts and numbers are the same in every run. */
#include "proto/schema.h"
#include "tests/instructions/sockets.h"

#include <msgpack.h>

enum { PAYLOAD_BYTES = 256, NAME_BYTES = 16, LEASE_MS = 3600000 };

/* A header but its magic; service NULL: empty. */
struct says {
    uint32_t verb;
    uint64_t request;
    uint32_t epoch;
    const char *service;
    uint32_t count;
};
/* body NULL: none; it is emptied. */
void wire_speak(peer_t *peer, const struct says *says, msgpack_sbuffer *body);

struct heard {
    uint32_t verb;
    uint64_t request;
    uint32_t epoch;
    uint32_t status;
    uint32_t count;
    msgpack_object body; /* good until the next is heard; nil when there is none */
};
/* False: nothing. Dies of what is no message. */
bool wire_hear(peer_t *peer, struct heard *ret_heard);
/* The value of a key; nil when there is none. */
msgpack_object wire_find(msgpack_object map, const char *key);

/* The bodies, each into an empty buffer. first: number of the first of `count` tasks. */
void body_hello(msgpack_sbuffer *body, const char *role, unsigned number);
void body_welcome(msgpack_sbuffer *body, uint32_t epoch);
void body_register(msgpack_sbuffer *body);
void body_submit(msgpack_sbuffer *body, unsigned first, unsigned count);
void body_receipts(msgpack_sbuffer *body, unsigned first, unsigned count);
void body_claim(msgpack_sbuffer *body, unsigned worker, uint64_t seq);
void body_handouts(msgpack_sbuffer *body, unsigned worker, unsigned first, unsigned count);
/* tokens: of WIRE_LEASE_TOKEN_SIZE bytes, one behind the other. */
void body_done(msgpack_sbuffer *body, unsigned worker, unsigned first, unsigned count,
               const uint8_t *tokens);
void body_wait(msgpack_sbuffer *body, unsigned number);
/* Of a task that is completed. */
void body_record(msgpack_sbuffer *body, unsigned number);
void body_outcomes(msgpack_sbuffer *body, unsigned first, unsigned count);
