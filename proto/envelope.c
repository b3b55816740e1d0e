#include "proto/envelope.h"

#include "common/status.h"
#include "proto/codec.h"
#include "proto/message.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum { HEADER_COUNT = 10, SERVICE_BYTES = 32, TRACE_BYTES = 55 };

void envelope_init(struct envelope *self)
{
    memset(&self->header, 0, sizeof self->header);
    zmq_msg_init(&self->peer);
    zmq_msg_init(&self->frame);
    zmq_msg_init(&self->body);
}

void envelope_clear(struct envelope *self)
{
    zmq_msg_close(&self->peer);
    zmq_msg_close(&self->frame);
    zmq_msg_close(&self->body);
    envelope_init(self);
}

static uint8_t *put_uint(uint8_t *at, uint64_t value)
{
    unsigned size = value <= 0xff ? 1 : value <= 0xffff ? 2 : value <= 0xffffffff ? 4 : 8;
    if (value < 0x80) {
        *at++ = (uint8_t)value;
        return at;
    }
    *at++ = (uint8_t)(size == 1 ? 0xcc : size == 2 ? 0xcd : size == 4 ? 0xce : 0xcf);
    for (unsigned i = size; i-- > 0;)
        *at++ = (uint8_t)(value >> (8 * i));
    return at;
}

static uint8_t *put_str(uint8_t *at, struct slice text)
{
    if (text.size >= 32)
        *at++ = 0xd9;
    *at++ = text.size < 32 ? (uint8_t)(0xa0 | text.size) : (uint8_t)text.size;
    if (text.size)
        memcpy(at, text.data, text.size);
    return at + text.size;
}

bool header_encode(const struct header *header, uint8_t bytes[WIRE_HEADER_MAX], size_t *ret_size)
{
    uint8_t *at = bytes;
    if (header->service.size > SERVICE_BYTES || header->trace.size > TRACE_BYTES)
        return false;
    *at++ = 0x90 | HEADER_COUNT;
    at = put_uint(at, WIRE_MAGIC);
    at = put_uint(at, header->verb);
    at = put_uint(at, header->request);
    at = put_uint(at, header->epoch);
    at = put_uint(at, header->status);
    at = put_str(at, header->service);
    at = put_uint(at, header->priority);
    at = put_uint(at, header->count);
    at = put_uint(at, header->hash);
    at = put_str(at, header->trace);
    *ret_size = (size_t)(at - bytes);
    return true;
}

/* Bytes that follow the first one of a whole number as all peers write it; -1: something else. */
static int uint_size(uint8_t first)
{
    if (first < 0x80)
        return 0;
    return first >= 0xcc && first <= 0xcf ? 1 << (first - 0xcc) : -1;
}

/* Eight in every message: those written as usual do not go through a token. A load takes eight
 * bytes, so the last ones of a header do. */
static bool take_u64(struct reader *r, uint64_t most, uint64_t *ret)
{
    struct token t;
    uint64_t bytes;
    int size = r->at < r->end ? uint_size(*r->at) : -1;
    if (size == 0) {
        *ret = *r->at++;
    } else if (size > 0 && r->end - r->at > (ptrdiff_t)sizeof bytes) {
        memcpy(&bytes, r->at + 1, sizeof bytes);
        *ret = be64toh(bytes) >> (64 - 8 * size);
        r->at += 1 + size;
    } else if (reader_next(r, &t) && t.kind == KIND_UINT) {
        *ret = t.whole;
    } else {
        return false;
    }
    return *ret <= most;
}

static bool take_u32(struct reader *r, uint32_t *ret)
{
    uint64_t whole;
    if (!take_u64(r, UINT32_MAX, &whole))
        return false;
    *ret = (uint32_t)whole;
    return true;
}

static bool take_str(struct reader *r, size_t most, struct slice *ret)
{
    struct token t;
    if (!reader_next(r, &t) || t.kind != KIND_STR || t.bytes.size > most)
        return false;
    *ret = t.bytes;
    return true;
}

/* A service goes into keys and logs as it is, so it is held to its letters here already. */
static bool plain(struct slice text)
{
    const char *at = text.data;
    if (text.size > SERVICE_BYTES)
        return false;
    for (size_t i = 0; i < text.size; i++)
        if (!(at[i] >= 'a' && at[i] <= 'z') && !(at[i] >= '0' && at[i] <= '9') && at[i] != '_')
            return false;
    return true;
}

int header_decode(struct header *ret_header, struct slice bytes)
{
    struct reader r = reader_of(bytes);
    struct token t;
    struct header h = { 0 };
    uint32_t magic;
    bool good = bytes.size <= WIRE_HEADER_MAX && reader_next(&r, &t) && t.kind == KIND_ARRAY &&
                t.count == HEADER_COUNT && take_u32(&r, &magic) && magic == WIRE_MAGIC &&
                take_u32(&r, &h.verb) && take_u64(&r, UINT64_MAX, &h.request) &&
                take_u32(&r, &h.epoch) && take_u32(&r, &h.status) &&
                take_str(&r, WIRE_HEADER_MAX, &h.service) && take_u32(&r, &h.priority) &&
                take_u32(&r, &h.count) && take_u32(&r, &h.hash) &&
                take_str(&r, TRACE_BYTES, &h.trace) && r.at == r.end;
    if (!good)
        return STATUS_MALFORMED;
    *ret_header = h;
    if (plain(h.service) && h.priority < PRIORITY_END)
        return 0;
    ret_header->service = (struct slice){ 0 }; /* nobody shall use it */
    return STATUS_MALFORMED;
}

static bool more(zmq_msg_t *frame)
{
    return zmq_msg_more(frame) != 0;
}

static void read_away(void *socket)
{
    zmq_msg_t rest;
    bool again = true;
    while (again) {
        zmq_msg_init(&rest);
        again = zmq_msg_recv(&rest, socket, ZMQ_DONTWAIT) >= 0 && more(&rest);
        zmq_msg_close(&rest);
    }
}

/* One frame; the first waits for nothing, the others of a message are always there with it. */
static int receive_frame(zmq_msg_t *frame, void *socket)
{
    while (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int envelope_receive(struct envelope *self, void *socket, bool routed)
{
    int r = receive_frame(routed ? &self->peer : &self->frame, socket);
    if (r) {
        envelope_clear(self);
        return r;
    }
    memset(&self->header, 0, sizeof self->header);
    if (routed && !more(&self->peer))
        return STATUS_MALFORMED;
    if (routed)
        r = receive_frame(&self->frame, socket);
    if (r)
        return r;
    if (!more(&self->frame)) {
        zmq_msg_close(&self->body);
        zmq_msg_init(&self->body);
        return header_decode(&self->header, frame_slice(&self->frame));
    }
    r = receive_frame(&self->body, socket);
    if (r)
        return r;
    if (more(&self->body)) {
        read_away(socket);
        return STATUS_MALFORMED;
    }
    return header_decode(&self->header, frame_slice(&self->frame));
}

static int send_bytes(void *socket, const void *data, size_t size, int flags)
{
    while (zmq_send(socket, data, size, flags | ZMQ_DONTWAIT) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

int envelope_send(void *socket, struct slice peer, const struct header *header, zmq_msg_t *body)
{
    uint8_t bytes[WIRE_HEADER_MAX];
    size_t size;
    if (!header_encode(header, bytes, &size))
        return -EINVAL;
    int r = peer.size ? send_bytes(socket, peer.data, peer.size, ZMQ_SNDMORE) : 0;
    if (r)
        return r;
    r = send_bytes(socket, bytes, size, body ? ZMQ_SNDMORE : 0);
    if (r || !body)
        return r;
    while (zmq_msg_send(body, socket, ZMQ_DONTWAIT) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

void envelope_body(const struct message_layout *layout, const void *m, zmq_msg_t *ret_body)
{
    msgpack_sbuffer buffer;
    msgpack_packer pk;
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&pk, &buffer, msgpack_sbuffer_write);
    message_encode(layout, m, &pk);
    if (zmq_msg_init_size(ret_body, buffer.size))
        zmq_msg_init(ret_body);
    else if (buffer.size)
        memcpy(zmq_msg_data(ret_body), buffer.data, buffer.size);
    msgpack_sbuffer_destroy(&buffer);
}
