/* REGISTER and NODES, and the catalogue that submits are checked against. */
#include "common/log.h"
#include "common/status.h"
#include "proto/codec.h"
#include "services/state/reply.h"
#include "services/state/state.h"

#include <errno.h>

enum {
    REGISTER_MAX = 256,
    NODE_FIELDS_COUNT = 2, /* name, declaration */
    NODE_FIELDS_ASKED = 3  /* and whether it is available */
};

/* Submits and schedules that met an unknown node are checked again, once. */
static void take_up(state_t *self, int status)
{
    for (ask_t *ask = asks_take(&self->unsure); ask; ask = asks_take(&self->unsure)) {
        if (status)
            ask_fail(&ask, status, NULL);
        else if (ask->verb == VERB_CRON)
            cron_asked(self, ask);
        else
            submit_asked(self, ask);
    }
    batches_flush(self->submits);
}

/* A catalogue of what Redis has; NULL when out of memory. What is no declaration is left out. */
static catalogue_t *read_catalogue(const redisReply *reply)
{
    catalogue_t *catalogue = catalogue_new();
    for (size_t i = 1; catalogue && i < reply->elements; i += NODE_FIELDS_COUNT) {
        struct slice declaration = reply_text(reply->element[i]);
        int r = codec_check(declaration);
        if (!r)
            r = catalogue_put(catalogue, declaration);
        if (r)
            log_event_seldom(LOG_LEVEL_WARN, "node_ignored", "node=%.*s",
                             SLICE_ARG(reply_text(reply->element[i - 1])));
    }
    return catalogue;
}

static void on_refreshed(void *arg, int status, const redisReply *reply)
{
    state_t *self = arg;
    self->catalogue_asked = false;
    if (!status && !reply_has(reply, 0))
        status = STATUS_INTERNAL;
    catalogue_t *catalogue = status ? NULL : read_catalogue(reply);
    if (catalogue) {
        catalogue_destroy(&self->catalogue);
        self->catalogue = catalogue;
    } else if (!status) {
        status = -ENOMEM;
    }
    take_up(self, status);
    self->unsure = self->unsure_next;
    self->unsure_next = (struct asks){ 0 };
    if (self->catalogue_again || self->unsure.first)
        nodes_refresh(self);
}

void nodes_refresh(state_t *self)
{
    if (self->catalogue_asked) {
        self->catalogue_again = true; /* the reading under way may have been too early */
        return;
    }
    self->catalogue_again = false;
    if (self->stopping) /* there may be no store any more */
        return;
    struct command *command = store_function(self->store, "nodes");
    int r = store_call(self->store, command, on_refreshed, self);
    if (r)
        take_up(self, r);
    else
        self->catalogue_asked = true;
}

void nodes_unsure(state_t *self, ask_t *ask)
{
    asks_add(self->catalogue_asked ? &self->unsure_next : &self->unsure, ask);
    nodes_refresh(self);
}

static void on_registered(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    if (reply_whole(reply) < 0) {
        struct refusal why = { .limit = CATALOGUE_NODES_MAX };
        refusal_say(&why, STATUS_TOO_LARGE, "nodes", "more than %d nodes would be known in all",
                    CATALOGUE_NODES_MAX);
        ask_refuse(&ask, &why);
        return;
    }
    if (reply_whole(reply) > 0) /* others learn of it by the event */
        nodes_refresh(ask->state);
    ask_answer(&ask, STATUS_OK, 0, (struct slice){ 0 });
}

static int put_nodes(struct command *command, struct slice nodes, struct refusal *why)
{
    struct reader reader;
    uint32_t count;
    if (!codec_array(nodes, &reader, &count))
        return refusal_say(why, STATUS_INVALID, "nodes", "must be a list");
    if (count > REGISTER_MAX) {
        why->limit = REGISTER_MAX;
        why->current = count;
        return refusal_say(why, STATUS_TOO_LARGE, "nodes", "at most %d in one message",
                           REGISTER_MAX);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct slice declaration = { 0 }, name;
        (void)reader_value(&reader, &declaration); /* the body was checked */
        int r = catalogue_verify(declaration, why, &name);
        if (r)
            return r;
        command_arg(command, name);
        command_arg(command, declaration);
    }
    return 0;
}

void register_asked(state_t *self, ask_t *ask)
{
    struct m_register said;
    struct refusal why = { 0 };
    if (!state_read(&ask, &m_register_layout, &said))
        return;
    struct command *command = store_function(self->store, "register");
    if (put_nodes(command, said.nodes, &why))
        ask_refuse(&ask, &why);
    else
        state_call(ask, command, on_registered);
}

/* What is none, which somebody put there, would spoil the whole answer. */
static bool is_declaration(struct slice bytes)
{
    struct refusal why = { 0 };
    struct slice name;
    return codec_check(bytes) == 0 && codec_depth(bytes) < WIRE_DEPTH_MAX &&
           catalogue_verify(bytes, &why, &name) == 0;
}

/* The declaration, and whether somebody serves it now, whatever it says of that itself. */
static void pack_node(struct slice declaration, bool available, msgpack_packer *pk)
{
    struct reader reader;
    struct slice name, value;
    uint32_t pairs = 0;
    const struct slice truth = available ? SLICE("\xc3") : SLICE("\xc2");
    const bool said = codec_find(declaration, "available", &value);
    (void)codec_map(declaration, &reader, &pairs);
    msgpack_pack_map(pk, said ? pairs : pairs + 1);
    for (uint32_t i = 0; i < pairs; i++) {
        struct slice text = { 0 };
        if (!reader_value(&reader, &name) || !reader_value(&reader, &value))
            return; /* it was checked */
        (void)codec_str(name, &text);
        pack_raw(pk, name);
        pack_raw(pk, slice_is(text, "available") ? truth : value);
    }
    if (said)
        return;
    pack_text(pk, "available");
    pack_raw(pk, truth);
}

static uint32_t pack_nodes(const redisReply *reply, msgpack_packer *pk)
{
    uint32_t count = 0;
    for (size_t i = 2; i < reply->elements; i += NODE_FIELDS_ASKED)
        count += is_declaration(reply_text(reply->element[i - 1]));
    msgpack_pack_array(pk, count);
    for (size_t i = 2; i < reply->elements; i += NODE_FIELDS_ASKED)
        if (is_declaration(reply_text(reply->element[i - 1])))
            pack_node(reply_text(reply->element[i - 1]), reply_whole(reply->element[i]) != 0, pk);
    return count;
}

static void on_nodes(void *arg, int status, const redisReply *reply)
{
    ask_t *ask = arg;
    if (!status && !reply_has(reply, 0))
        status = STATUS_INTERNAL;
    if (status) {
        ask_fail(&ask, status, reply);
        return;
    }
    const uint32_t count = pack_nodes(reply, state_packer(ask->state));
    ask_answer(&ask, STATUS_OK, count, state_packed(ask->state));
}

void nodes_asked(state_t *self, ask_t *ask)
{
    struct command *command = store_function(self->store, "nodes");
    command_text(command, "available");
    state_call_large(ask, self->large, command, on_nodes);
}
