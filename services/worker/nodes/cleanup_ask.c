/* What system.cleanup asks the broker. */
#include "services/worker/nodes/cleanup.h"

#include "common/utf8.h"
#include "proto/codec.h"
#include "proto/schema.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER_MS = 30000, TRIES = 5, PAUSE_US = 200000 };

static void found_name(struct cleanup_step *step, struct slice name)
{
    char *text = step->names[step->names_count];
    if (step->names_count == CLEANUP_NAMES || !slice_copy(name, text, sizeof step->names[0]))
        return;
    utf8_clean(text); /* a file's name may be any bytes */
    step->names_count++;
}

void cleanup_found(struct cleanup_step *step, const char *name)
{
    step->found++;
    found_name(step, slice_of(name));
}

void cleanup_failed(struct cleanup_step *step, const char *why)
{
    step->failed++;
    if (step->why[0])
        return;
    (void)snprintf(step->why, sizeof step->why, "%s", why);
    utf8_clean(step->why);
}

/* ---- questions --------------------------------------------------------------------------------
 */

struct answer {
    void *bytes;
    size_t size;
};

static void answer_clear(struct answer *self)
{
    free(self->bytes);
    *self = (struct answer){ 0 };
}

/* 0, or what the broker said at last. */
static int ask(struct cleanup *self, uint32_t verb, const msgpack_sbuffer *body,
               struct answer *ret_answer)
{
    const struct gantry_bytes bytes = { body->data, body->size };
    int r = STATUS_UNAVAILABLE;
    for (unsigned try = 0; try < TRIES; try++) {
        answer_clear(ret_answer);
        r = gantry_call(self->client, verb, "", bytes, ANSWER_MS, &ret_answer->bytes,
                        &ret_answer->size);
        if (r != STATUS_UNAVAILABLE && r != STATUS_BUSY && r != STATUS_TIMEOUT)
            break;
        (void)usleep((try + 1) * PAUSE_US);
    }
    return r;
}

static int ask_message(struct cleanup *self, uint32_t verb, const struct message_layout *layout,
                       const void *m, struct answer *ret_answer)
{
    msgpack_sbuffer body;
    msgpack_packer pk;
    msgpack_sbuffer_init(&body);
    msgpack_packer_init(&pk, &body, msgpack_sbuffer_write);
    message_encode(layout, m, &pk);
    int r = ask(self, verb, &body, ret_answer);
    msgpack_sbuffer_destroy(&body);
    return r;
}

/* Without answers there is nothing to go on from: another attempt may have a broker. */
static int away(const struct cleanup *self, int r)
{
    const char *said = gantry_client_error(self->client)->message;
    if (r < 0)
        return r;
    return engine_retry(self->engine, -1, "the brokers answer %s: %s", gantry_status_name(r),
                        *said ? said : gantry_status_text(r));
}

/* ---- TASKS -----------------------------------------------------------------------------------
 */

void cleanup_page_clear(struct cleanup_page *self)
{
    free(self->bytes);
    *self = (struct cleanup_page){ 0 };
}

int cleanup_ask_page(struct cleanup *self, const struct m_tasks *asked,
                     struct cleanup_page *ret_page)
{
    struct answer answer = { 0 };
    int r = ask_message(self, VERB_TASKS, &m_tasks_layout, asked, &answer);
    *ret_page = (struct cleanup_page){ .bytes = answer.bytes, .size = answer.size };
    if (r)
        return away(self, r);
    const struct slice bytes = slice_make(answer.bytes, answer.size);
    if (codec_check(bytes) || message_decode(&m_tasks_page_layout, bytes, &ret_page->page, NULL))
        return away(self, STATUS_MALFORMED);
    return 0;
}

int cleanup_each(struct cleanup *self, const struct cleanup_page *page, cleanup_item_fn *each)
{
    struct reader reader;
    uint32_t count = 0;
    int r = codec_array(page->page.items, &reader, &count) ? 0 : away(self, STATUS_MALFORMED);
    for (uint32_t i = 0; i < count && r == 0; i++) {
        struct slice value = { 0 };
        struct m_task_item item;
        if (!reader_value(&reader, &value) ||
            message_decode(&m_task_item_layout, value, &item, NULL) || !task_id_valid(item.id))
            return away(self, STATUS_MALFORMED);
        r = each(self, &item);
    }
    return r;
}

int cleanup_look_up(struct cleanup *self, const char (*ids)[TASK_ID_MAX + 1], size_t count,
                    cleanup_item_fn *each)
{
    msgpack_sbuffer list;
    msgpack_packer pk;
    struct cleanup_page page = { 0 };
    msgpack_sbuffer_init(&list);
    msgpack_packer_init(&pk, &list, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, count);
    for (size_t i = 0; i < count; i++)
        pack_text(&pk, ids[i]);
    const struct m_tasks asked = { .ids = slice_make(list.data, list.size) };
    int r = count ? cleanup_ask_page(self, &asked, &page) : 0;
    if (r == 0 && count)
        r = cleanup_each(self, &page, each);
    cleanup_page_clear(&page);
    msgpack_sbuffer_destroy(&list);
    return r;
}

/* ---- FORGET ----------------------------------------------------------------------------------
 */

/* What stands in the way, of the first part that failed. Answers whether it may not the next time.
 */
static bool take_failure(struct cleanup_step *step, struct slice results)
{
    struct reader reader;
    struct slice value, status, again, message = { 0 };
    uint32_t count = 0;
    bool retriable = false;
    char why[CLEANUP_WHY] = "a part of it could not be removed";
    if (!codec_array(results, &reader, &count))
        count = 0;
    for (uint32_t i = 0; i < count && reader_value(&reader, &value); i++) {
        struct slice text = { 0 };
        if (codec_find(value, "status", &status) && codec_str(status, &text) &&
            slice_is(text, "failed") && codec_find(value, "message", &message) &&
            codec_str(message, &message)) {
            (void)snprintf(why, sizeof why, "%.*s", SLICE_ARG(message));
            retriable = codec_find(value, "retriable", &again) && slice_is(again, "\xc3");
            break;
        }
    }
    cleanup_failed(step, why);
    return retriable;
}

/* Each waits for the store, or the disk, that is away, and takes a thread of the state service for
 * so long: after a few in a row the pass is left for another attempt. */
static int take_forgotten(struct cleanup *self, struct cleanup_step *step,
                          const struct answer *answer)
{
    struct m_forgotten said = { 0 };
    const struct slice bytes = slice_make(answer->bytes, answer->size);
    const bool good =
        codec_check(bytes) == 0 && message_decode(&m_forgotten_layout, bytes, &said, NULL) == 0;
    if (good && slice_is(said.status, "success")) {
        step->removed++;
        self->away = 0;
    } else if (take_failure(step, said.results) && ++self->away == CLEANUP_AWAY_MAX) {
        return engine_retry(self->engine, -1, "what is to be removed is away: %s", step->why);
    }
    return 0;
}

int cleanup_forget(struct cleanup *self, struct cleanup_step *step, struct slice id,
                   uint64_t ended_before_ms)
{
    const struct m_forget forget = { .id = id, .ended_before_ms = ended_before_ms };
    struct answer answer = { 0 };
    step->found++;
    found_name(step, id);
    if (self->dry_run)
        return 0;
    int r = ask_message(self, VERB_FORGET, &m_forget_layout, &forget, &answer);
    if (r == 0)
        r = take_forgotten(self, step, &answer);
    else if (r == STATUS_NOT_FOUND) /* somebody else was quicker */
        step->removed++;
    else if (r == STATUS_CONFLICT) /* it lives, or was begun anew since it was looked at */
        step->kept++;
    else
        r = away(self, r);
    answer_clear(&answer);
    return r == STATUS_NOT_FOUND || r == STATUS_CONFLICT ? 0 : r;
}

/* ---- GET --------------------------------------------------------------------------------------
 */

/* Paths stand in the packed output as they are, at whatever depth. */
static bool names_within(struct slice output, struct slice folder)
{
    const char *at = output.data;
    const char *end = at + output.size;
    while (folder.size < (size_t)(end - at)) {
        at = memmem(at, (size_t)(end - at), folder.data, folder.size);
        if (!at)
            return false;
        if (at + folder.size < end && at[folder.size] == '/')
            return true;
        at++;
    }
    return false;
}

static bool stage_names(struct slice stage, struct slice folder)
{
    struct slice output;
    return codec_find(stage, "output", &output) && names_within(output, folder);
}

static bool record_names(struct slice record, struct slice folder)
{
    struct reader reader;
    struct slice stages, name, stage;
    uint32_t pairs = 0;
    if (!codec_find(record, "stages", &stages) || !codec_map(stages, &reader, &pairs))
        return false;
    for (uint32_t i = 0; i < pairs; i++) {
        if (!reader_value(&reader, &name) || !reader_value(&reader, &stage))
            return false;
        if (stage_names(stage, folder))
            return true;
    }
    return false;
}

int cleanup_names_files(struct cleanup *self, const char *id, const char *folder, bool *ret_names)
{
    const struct m_ref ref = { .id = slice_of(id) };
    struct answer answer = { 0 };
    int r = ask_message(self, VERB_GET, &m_ref_layout, &ref, &answer);
    const struct slice record = slice_make(answer.bytes, answer.size);
    *ret_names = r == 0 && codec_check(record) == 0 && record_names(record, slice_of(folder));
    answer_clear(&answer);
    return r == 0 || r == STATUS_NOT_FOUND ? 0 : away(self, r);
}
