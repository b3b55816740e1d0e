/* GET /v1/tasks/supported-tasks and /health. */
#include "common/paths.h"
#include "common/status.h"
#include "proto/json.h"
#include "services/front/tasks.h"
#include "services/front/tasks_body.h"

#include <errno.h>

/* ---- supported-tasks ------------------------------------------------------------------------- */

struct listing {
    json_t *services; /* service to names */
    json_t *nodes;    /* name to what it takes and gives */
    size_t count;
};

static int put_packed(json_t *object, const char *key, struct slice packed)
{
    json_t *value = NULL;
    int r = json_from_packed(packed, &value);
    if (r == 0 && json_is_null(value)) {
        json_decref(value);
        value = json_array();
    }
    return r ? r : json_object_set_new(object, key, value) ? -ENOMEM : 0;
}

static int add_name(json_t *services, struct slice name)
{
    const struct slice service = task_name_service(name);
    json_t *names = json_object_getn(services, service.data, service.size);
    if (!names) {
        names = json_array();
        if (json_object_setn_new(services, service.data, service.size, names))
            return -ENOMEM;
    }
    return json_array_append_new(names, json_stringn(name.data, name.size)) ? -ENOMEM : 0;
}

static int add_node(struct listing *self, const struct m_node *node)
{
    if (slice_is(node->name, TASKS_DELIVERY) || slice_is(node->name, TASKS_CLEANUP))
        return 0;
    json_t *told = json_pack("{s:b, s:s%}", "available", node->available, "doc",
                             node->doc.size ? node->doc.data : "", node->doc.size);
    int r = told ? 0 : -ENOMEM;
    if (r == 0)
        r = put_packed(told, "inputs", node->inputs);
    if (r == 0)
        r = put_packed(told, "outputs", node->outputs);
    if (r == 0)
        r = put_packed(told, "key", node->key);
    if (r) {
        json_decref(told);
        return r;
    }
    self->count++;
    if (json_object_setn_new(self->nodes, node->name.data, node->name.size, told))
        return -ENOMEM;
    return add_name(self->services, node->name);
}

/* 0, -ENOMEM, or -EPROTO: the answer cannot be read. */
static int read_nodes(struct listing *self, struct slice body)
{
    struct reader reader;
    struct m_node node;
    uint32_t count = 0;
    int r = self->services && self->nodes ? 0 : -ENOMEM;
    if (r == 0 && !codec_array(body, &reader, &count))
        return -EPROTO;
    for (uint32_t i = 0; r == 0 && i < count; i++)
        r = message_next(&m_node_layout, &reader, &node, NULL) ? -EPROTO : add_node(self, &node);
    return r > 0 ? -EPROTO : r;
}

static void on_nodes(ask_t **self_p, int status, struct slice body)
{
    struct listing listing = { json_object(), json_object(), 0 };
    if (status == 0)
        status = read_nodes(&listing, body);
    if (status == 0)
        ask_answer(self_p, json_pack("{s:O, s:i, s:s, s:O}", "supported_tasks", listing.services,
                                     "total_count", (int)listing.count, "description",
                                     "所有支持的任务，按服务分组", "nodes", listing.nodes));
    else
        ask_refuse_status(self_p, status);
    json_decref(listing.services);
    json_decref(listing.nodes);
}

void tasks_supported(request_t *request)
{
    ask_t *self = ask_new(request);
    if (self)
        ask_begin(&self, VERB_NODES, NULL, NULL, on_nodes);
}

/* ---- health ---------------------------------------------------------------------------------- */

/* Broker, state service and store had to answer for this. */
static void on_ledger(ask_t **self_p, int status, struct slice body)
{
    struct m_ledger ledger;
    if (status == 0 && message_decode(&m_ledger_layout, body, &ledger, NULL))
        status = -EPROTO;
    if (status) {
        ask_refuse_status(self_p, status);
        return;
    }
    ask_answer(self_p,
               json_pack("{s:s, s:s, s:{s:I, s:I, s:I}, s:o}", "status", "healthy", "service",
                         "gantry", "tasks", "scheduled", (json_int_t)ledger.scheduled, "pending",
                         (json_int_t)ledger.pending, "running", (json_int_t)ledger.running,
                         "timestamp", ask_time()));
}

void tasks_health(request_t *request)
{
    ask_t *self = ask_new(request);
    if (self)
        ask_begin(&self, VERB_LEDGER, NULL, NULL, on_ledger);
}
