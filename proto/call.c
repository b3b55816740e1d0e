/* Any verb of the protocol, waited for or not. */
#include "proto/client.h"

#include "common/scoped.h"
#include "common/status.h"
#include "proto/codec.h"

#include <errno.h>
#include <stdlib.h>

void reply_clear(struct reply *self)
{
    free(self->body);
    *self = (struct reply){ 0 };
}

static void on_reply(void *arg, const struct header *header, struct slice body)
{
    struct reply *self = arg;
    self->client->heard++;
    self->done = true;
    self->status = (int)header->status;
    if (header->status)
        client_refused(self->client, header->status, body);
    if (body.size == 0)
        return;
    self->body = slice_dup(body);
    self->size = body.size;
    if (!self->body)
        self->status = -ENOMEM;
}

int client_call(gantry_client_t *self, const struct request *request, struct slice body,
                struct reply *ret_reply)
{
    zmq_msg_t message;
    *ret_reply = (struct reply){ .client = self };
    if (self->turning)
        return -EDEADLK;
    int r = client_body(body, &message);
    if (r)
        return r;
    r = client_request(self, request, body.size ? &message : NULL, on_reply, ret_reply);
    zmq_msg_close(&message);
    if (r > 0)
        return client_wrong(self, r, "", "too many calls are open");
    if (r == 0)
        r = client_block(self, &ret_reply->done);
    return r ? r : ret_reply->status;
}

static struct request request_of(uint32_t verb, const char *service, struct slice body,
                                 int64_t timeout_ms)
{
    struct request request = { .verb = verb,
                               .service = slice_of(service),
                               .timeout_ms = timeout_ms };
    struct reader items;
    if (!codec_array(body, &items, &request.count))
        request.count = 0;
    return request;
}

// NOLINTNEXTLINE(readability-function-size): as gantry.h has it
int gantry_call(gantry_client_t *self, uint32_t verb, const char *service, struct gantry_bytes body,
                int64_t timeout_ms, void **ret_body, size_t *ret_size)
{
    scoped_in(reply) reply = { 0 };
    struct slice bytes = { body.data, body.size };
    struct request request = request_of(verb, service, bytes, timeout_ms);
    int r = client_call(self, &request, bytes, &reply);
    if (r >= 0 && ret_body) {
        *ret_body = reply.body;
        *ret_size = reply.size;
        reply.body = NULL;
    }
    return r;
}

struct calling {
    gantry_client_t *client;
    gantry_called_fn *done;
    void *arg;
};

static void on_called(void *arg, const struct header *header, struct slice body)
{
    struct calling self = *(struct calling *)arg;
    free(arg);
    self.client->heard++;
    self.client->open--;
    if (header->status)
        client_refused(self.client, header->status, body);
    self.done(self.arg, (int)header->status, (struct gantry_bytes){ body.data, body.size });
}

// NOLINTNEXTLINE(readability-function-size): as gantry.h has it
int gantry_call_begin(gantry_client_t *self, uint32_t verb, const char *service,
                      struct gantry_bytes body, int64_t timeout_ms, gantry_called_fn *done,
                      void *arg)
{
    struct slice bytes = { body.data, body.size };
    struct request request = request_of(verb, service, bytes, timeout_ms);
    zmq_msg_t message;
    if (self->ending)
        return STATUS_UNAVAILABLE;
    struct calling *calling = malloc(sizeof *calling);
    if (!calling)
        return -ENOMEM;
    *calling = (struct calling){ self, done, arg };
    int r = client_body(bytes, &message);
    if (r == 0) {
        r = client_request(self, &request, bytes.size ? &message : NULL, on_called, calling);
        zmq_msg_close(&message);
    }
    if (r)
        free(calling);
    else
        self->open++;
    return r > 0 ? client_wrong(self, r, "", "too many calls are open") : r;
}
