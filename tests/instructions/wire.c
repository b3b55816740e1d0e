#include "tests/instructions/wire.h"

#include "tests/instructions/count.h"

#include <stdio.h>
#include <string.h>

enum { HEADER_PARTS = 10 };

static const char node[] = "system.echo";

/* ---- packing ---- */

static msgpack_packer packer(msgpack_sbuffer *into)
{
    msgpack_packer pk;
    msgpack_packer_init(&pk, into, msgpack_sbuffer_write);
    return pk;
}

static void text(msgpack_packer *pk, const char *value)
{
    msgpack_pack_str_with_body(pk, value, strlen(value));
}

static void pair_text(msgpack_packer *pk, const char *key, const char *value)
{
    text(pk, key);
    text(pk, value);
}

static void pair_whole(msgpack_packer *pk, const char *key, uint64_t value)
{
    text(pk, key);
    msgpack_pack_uint64(pk, value);
}

static void pair_bytes(msgpack_packer *pk, const char *key, const void *value, size_t size)
{
    text(pk, key);
    msgpack_pack_bin_with_body(pk, value, size);
}

static void pair_id(msgpack_packer *pk, unsigned number)
{
    char id[NAME_BYTES];
    (void)snprintf(id, sizeof id, "task-%08u", number);
    pair_text(pk, "id", id);
    pair_text(pk, "task", node);
}

static void pair_session(msgpack_packer *pk, unsigned worker)
{
    uint8_t session[WIRE_SESSION_SIZE];
    memset(session, (int)(worker + 1), sizeof session);
    pair_bytes(pk, "session", session, sizeof session);
}

/* Of a submit or of a lease: each has another one. */
static void pair_token(msgpack_packer *pk, unsigned number, size_t size)
{
    uint8_t token[WIRE_SUBMIT_TOKEN_SIZE] = { 0 };
    memcpy(token, &number, sizeof number);
    pair_bytes(pk, "token", token, size);
}

static void pair_input(msgpack_packer *pk)
{
    uint8_t payload[PAYLOAD_BYTES];
    memset(payload, 'x', sizeof payload);
    text(pk, "input");
    msgpack_pack_map(pk, 1);
    pair_bytes(pk, "value", payload, sizeof payload);
}

/* ---- messages ---- */

void wire_speak(peer_t *peer, const struct says *says, msgpack_sbuffer *body)
{
    msgpack_sbuffer header;
    msgpack_sbuffer_init(&header);
    msgpack_packer pk = packer(&header);
    msgpack_pack_array(&pk, HEADER_PARTS);
    msgpack_pack_uint32(&pk, WIRE_MAGIC);
    msgpack_pack_uint32(&pk, says->verb);
    msgpack_pack_uint64(&pk, says->request);
    msgpack_pack_uint32(&pk, says->epoch);
    msgpack_pack_uint32(&pk, 0);
    text(&pk, says->service ? says->service : "");
    msgpack_pack_uint32(&pk, PRIORITY_NORMAL);
    msgpack_pack_uint32(&pk, says->count);
    msgpack_pack_uint32(&pk, 0);
    text(&pk, "");
    peer_say(peer, slice_make(header.data, header.size),
             body ? slice_make(body->data, body->size) : (struct slice){ 0 });
    msgpack_sbuffer_destroy(&header);
    if (body)
        msgpack_sbuffer_clear(body);
}

static void unpack(msgpack_unpacked *into, zmq_msg_t *frame)
{
    size_t at = 0;
    if (msgpack_unpack_next(into, zmq_msg_data(frame), zmq_msg_size(frame), &at) !=
        MSGPACK_UNPACK_SUCCESS)
        count_die("what is no message was sent");
}

static uint64_t part(const msgpack_unpacked *header, unsigned place)
{
    return header->data.via.array.ptr[place].via.u64;
}

bool wire_hear(peer_t *peer, struct heard *ret_heard)
{
    static msgpack_unpacked header, body;
    static zmq_msg_t frames[2];
    static bool used;
    if (used) {
        msgpack_unpacked_destroy(&header);
        msgpack_unpacked_destroy(&body);
        zmq_msg_close(&frames[0]);
        zmq_msg_close(&frames[1]);
    }
    used = peer_hear(peer, &frames[0], &frames[1]);
    if (!used)
        return false;
    msgpack_unpacked_init(&header);
    msgpack_unpacked_init(&body);
    unpack(&header, &frames[0]);
    if (zmq_msg_size(&frames[1]))
        unpack(&body, &frames[1]);
    if (header.data.type != MSGPACK_OBJECT_ARRAY || header.data.via.array.size != HEADER_PARTS)
        count_die("a header that is none was sent");
    *ret_heard = (struct heard){
        .verb = (uint32_t)part(&header, 1),
        .request = part(&header, 2),
        .epoch = (uint32_t)part(&header, 3),
        .status = (uint32_t)part(&header, 4),
        .count = (uint32_t)part(&header, 7),
        .body = body.data,
    };
    return true;
}

msgpack_object wire_find(msgpack_object map, const char *key)
{
    for (uint32_t i = 0; map.type == MSGPACK_OBJECT_MAP && i < map.via.map.size; i++) {
        const msgpack_object_kv *pair = &map.via.map.ptr[i];
        if (pair->key.via.str.size == strlen(key) &&
            memcmp(pair->key.via.str.ptr, key, strlen(key)) == 0)
            return pair->val;
    }
    return (msgpack_object){ .type = MSGPACK_OBJECT_NIL };
}

/* ---- bodies ---- */

void body_hello(msgpack_sbuffer *body, const char *role, unsigned number)
{
    msgpack_packer pk = packer(body);
    bool worker = strcmp(role, "worker") == 0;
    msgpack_pack_map(&pk, worker ? 5 : 2);
    pair_text(&pk, "role", role);
    pair_text(&pk, "name", role);
    if (!worker)
        return;
    pair_session(&pk, number);
    text(&pk, "services");
    msgpack_pack_array(&pk, 1);
    text(&pk, "system");
    pair_whole(&pk, "slots", 256);
}

void body_welcome(msgpack_sbuffer *body, uint32_t epoch)
{
    msgpack_packer pk = packer(body);
    msgpack_pack_map(&pk, 6);
    pair_whole(&pk, "epoch", epoch);
    pair_whole(&pk, "heartbeat_ms", 60000);
    pair_whole(&pk, "liveness_ms", 600000);
    pair_whole(&pk, "lease_ms", LEASE_MS);
    pair_whole(&pk, "batch_max", 256);
    pair_whole(&pk, "body_max", 1 << 20);
}

void body_register(msgpack_sbuffer *body)
{
    msgpack_packer pk = packer(body);
    msgpack_pack_map(&pk, 2);
    pair_session(&pk, 0);
    text(&pk, "nodes");
    msgpack_pack_array(&pk, 1);
    msgpack_pack_map(&pk, 3);
    pair_text(&pk, "name", node);
    text(&pk, "inputs");
    msgpack_pack_array(&pk, 1);
    msgpack_pack_map(&pk, 2);
    pair_text(&pk, "name", "value");
    pair_text(&pk, "type", "any");
    text(&pk, "outputs");
    msgpack_pack_array(&pk, 1);
    text(&pk, "value");
}

void body_submit(msgpack_sbuffer *body, unsigned first, unsigned count)
{
    msgpack_packer pk = packer(body);
    msgpack_pack_array(&pk, count);
    for (unsigned i = first; i < first + count; i++) {
        msgpack_pack_map(&pk, 4);
        pair_id(&pk, i);
        pair_token(&pk, i, WIRE_SUBMIT_TOKEN_SIZE);
        pair_input(&pk);
    }
}

void body_receipts(msgpack_sbuffer *body, unsigned first, unsigned count)
{
    msgpack_packer pk = packer(body);
    msgpack_pack_array(&pk, count);
    for (unsigned i = first; i < first + count; i++) {
        msgpack_pack_map(&pk, 6);
        pair_whole(&pk, "status", 0);
        pair_id(&pk, i);
        pair_text(&pk, "state", "pending");
        pair_text(&pk, "reuse", "miss");
        pair_text(&pk, "durability", "everysec");
    }
}

void body_claim(msgpack_sbuffer *body, unsigned worker, uint64_t seq)
{
    msgpack_packer pk = packer(body);
    msgpack_pack_map(&pk, 3);
    pair_session(&pk, worker);
    pair_whole(&pk, "seq", seq);
    pair_text(&pk, "worker", "worker");
}

void body_handouts(msgpack_sbuffer *body, unsigned worker, unsigned first, unsigned count)
{
    msgpack_packer pk = packer(body);
    msgpack_pack_array(&pk, count);
    for (unsigned i = first; i < first + count; i++) {
        msgpack_pack_map(&pk, 7);
        pair_id(&pk, i);
        pair_session(&pk, worker);
        pair_token(&pk, i, WIRE_LEASE_TOKEN_SIZE);
        pair_whole(&pk, "attempt", 1);
        pair_whole(&pk, "generation", 1);
        pair_input(&pk);
    }
}

void body_done(msgpack_sbuffer *body, unsigned worker, unsigned first, unsigned count,
               const uint8_t *tokens)
{
    msgpack_packer pk = packer(body);
    msgpack_pack_array(&pk, count);
    for (unsigned i = 0; i < count; i++) {
        msgpack_pack_map(&pk, 7);
        pair_id(&pk, first + i);
        pair_session(&pk, worker);
        pair_bytes(&pk, "token", tokens + (size_t)i * WIRE_LEASE_TOKEN_SIZE, WIRE_LEASE_TOKEN_SIZE);
        pair_text(&pk, "state", "completed");
        pair_text(&pk, "worker", "worker");
        text(&pk, "output");
        msgpack_pack_map(&pk, 1);
        pair_bytes(&pk, "value", "0123456789abcdef", NAME_BYTES);
    }
}

void body_wait(msgpack_sbuffer *body, unsigned number)
{
    msgpack_packer pk = packer(body);
    msgpack_pack_map(&pk, 2);
    pair_id(&pk, number);
}

void body_record(msgpack_sbuffer *body, unsigned number)
{
    msgpack_packer pk = packer(body);
    msgpack_pack_map(&pk, 3);
    pair_id(&pk, number);
    pair_text(&pk, "status", "completed");
}

void body_outcomes(msgpack_sbuffer *body, unsigned first, unsigned count)
{
    msgpack_packer pk = packer(body);
    msgpack_pack_array(&pk, count);
    for (unsigned i = first; i < first + count; i++) {
        msgpack_pack_map(&pk, 3);
        pair_whole(&pk, "status", 0);
        pair_id(&pk, i);
    }
}
