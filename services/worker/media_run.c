/* Runs ffmpeg, several at once, in one thread: each child has a pipe for -progress and one for
 * stderr. */
#include "services/worker/media.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "services/worker/media_child.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { PARALLEL_MAX = 64, PROGRESS_FD = 3, WORDS_MAX = 256 };

struct slot {
    struct media_child child;
    size_t index;
    struct media_end end;
    char words[WORDS_MAX]; /* a line of -progress that is not whole yet */
    size_t words_size;
};

struct runs {
    engine_t *engine;
    const struct media_work *work;
    size_t next;   /* call to start */
    size_t active; /* slots in use: the first ones */
    size_t slots_count;
    int64_t until_ms;
    struct slot slots[PARALLEL_MAX];
};

void media_args_clear(struct media_args *self)
{
    for (size_t i = 0; i < self->count; i++)
        free(self->items[i]);
    self->count = 0;
}

void media_add(struct media_args *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *item = NULL;
    bool room = self->count + 1 < sizeof self->items / sizeof self->items[0];
    if (!room || vasprintf(&item, format, args) < 0)
        self->broken = true;
    else
        self->items[self->count++] = item;
    va_end(args);
}

static void read_pair(struct media_end *end, char *line)
{
    char *value = strchr(line, '=');
    if (!value)
        return;
    *value++ = '\0';
    long long number = strtoll(value, NULL, 10); /* N/A reads as 0 */
    if (number <= 0)
        return;
    if (strcmp(line, "frame") == 0)
        end->frames = (uint64_t)number;
    else if (strcmp(line, "out_time_us") == 0)
        end->seconds = (double)number / 1e6;
}

static void read_progress(struct runs *self, struct slot *slot)
{
    char bytes[1024];
    size_t size = media_child_read(&slot->child, bytes, sizeof bytes);
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != '\n') {
            slot->words[slot->words_size] = bytes[i];
            slot->words_size += slot->words_size < WORDS_MAX - 1;
            continue;
        }
        slot->words[slot->words_size] = '\0';
        slot->words_size = 0;
        read_pair(&slot->end, slot->words);
    }
    if (size > 0 && self->work->progress)
        self->work->progress(self->work->arg, slot->index, &slot->end);
}

static int start(struct runs *self)
{
    scoped_in(media_args) args = { 0 };
    const char *head[] = { engine_ffmpeg(self->engine),
                           "-nostdin",
                           "-hide_banner",
                           "-y",
                           "-loglevel",
                           "error",
                           "-stats_period",
                           "0.2",
                           "-progress",
                           "pipe:3" };
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        media_add(&args, "%s", head[i]);
    self->work->command(self->work->arg, self->next, &args);
    if (args.broken)
        return -ENOMEM;

    struct slot *slot = &self->slots[self->active];
    *slot = (struct slot){ .index = self->next };
    int r = media_child_start(&slot->child, args.items, PROGRESS_FD);
    if (r != 0)
        return r;
    self->next++;
    self->active++;
    return 0;
}

/* ffmpeg ends well although the last bytes of a file found no room. */
static int tell_end(struct runs *self, struct slot *slot, int code)
{
    slot->end.code = code == 0 && slot->child.unwritten ? 1 : code;
    slot->end.full = slot->child.full;
    slot->end.line = slot->child.line;
    slot->end.complained = slot->child.line[0] != '\0';
    return self->work->ended(self->work->arg, slot->index, &slot->end);
}

/* Waits for words of any child and takes them in. */
static int turn(struct runs *self)
{
    struct pollfd polls[2 * PARALLEL_MAX];
    for (size_t i = 0; i < self->active; i++) {
        polls[2 * i] = (struct pollfd){ self->slots[i].child.words, POLLIN, 0 };
        polls[2 * i + 1] = (struct pollfd){ self->slots[i].child.errors, POLLIN, 0 };
    }
    int64_t left_ms = self->until_ms - clock_ms();
    int wait_ms = left_ms > 1000 ? 1000 : left_ms < 0 ? 0 : (int)left_ms;
    if (poll(polls, (nfds_t)(2 * self->active), wait_ms) < 0 && errno != EINTR)
        return -errno;

    for (size_t i = self->active; i-- > 0;) {
        struct slot *slot = &self->slots[i];
        read_progress(self, slot);
        media_child_relay(&slot->child);
        if (!media_child_silent(&slot->child))
            continue;
        int r = tell_end(self, slot, media_child_end(&slot->child));
        *slot = self->slots[--self->active]; /* the last one was looked at already */
        if (r != 0)
            return r;
    }
    return 0;
}

static int time_is_over(struct runs *self)
{
    int r = 0;
    while (r == 0 && self->active > 0) {
        struct slot *slot = &self->slots[--self->active];
        (void)media_child_kill(&slot->child);
        r = tell_end(self, slot, -1);
    }
    for (; r == 0 && self->next < self->work->count; self->next++) {
        struct slot none = { .index = self->next };
        r = tell_end(self, &none, -1);
    }
    return r;
}

int media_run(engine_t *engine, const struct media_work *work)
{
    struct runs *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    self->engine = engine;
    self->work = work;
    self->slots_count = work->parallel < 1 ? 1 : work->parallel;
    if (self->slots_count > PARALLEL_MAX)
        self->slots_count = PARALLEL_MAX;
    self->until_ms = work->limit_ms > 0 ? clock_ms() + work->limit_ms : INT64_MAX;

    int r = 0;
    while (r == 0 && (self->next < work->count || self->active > 0)) {
        if (clock_ms() >= self->until_ms)
            r = time_is_over(self);
        else if (self->active < self->slots_count && self->next < work->count)
            r = start(self);
        else
            r = turn(self);
    }
    while (self->active > 0)
        (void)media_child_kill(&self->slots[--self->active].child);
    free(self);
    return r;
}

struct one_call {
    engine_t *engine;
    const char *field;
    struct media_call *call;
};

static void one_command(void *arg, size_t index, struct media_args *args)
{
    struct one_call *one = arg;
    (void)index;
    for (size_t i = 0; i < one->call->args->count; i++)
        media_add(args, "%s", one->call->args->items[i]);
}

static void one_progress(void *arg, size_t index, const struct media_end *so_far)
{
    const struct one_call *one = arg;
    const struct media_call *call = one->call;
    (void)index;
    double share = call->seconds > 0 ? so_far->seconds / call->seconds : 0;
    if (call->pictures > 0)
        share = (double)so_far->frames / (double)call->pictures;
    engine_progress(one->engine, call->from + (share < 1 ? share : 1) * (call->to - call->from));
}

/* Without room, or ended by a signal as by who frees memory: it may go better the next time. */
static bool may_go_better(const struct media_end *end)
{
    return end->code > MEDIA_SIGNAL || end->full;
}

static int one_ended(void *arg, size_t index, const struct media_end *end)
{
    struct one_call *one = arg;
    (void)index;
    one->call->end = *end;
    one->call->end.line = "";
    if (end->code == 0)
        return 0;
    enum status status = may_go_better(end) ? STATUS_UNAVAILABLE : STATUS_FAILED;
    return engine_refuse(one->engine, status, one->field, "ffmpeg %s %d: %s",
                         end->code > MEDIA_SIGNAL ? "was ended by signal" : "ended with",
                         end->code % MEDIA_SIGNAL, end->line[0] ? end->line : "no word why");
}

int media_call(engine_t *engine, const char *field, struct media_call *call)
{
    if (call->args->broken)
        return -ENOMEM;
    struct one_call one = { engine, field, call };
    struct media_work work = { .count = 1,
                               .command = one_command,
                               .ended = one_ended,
                               .progress = one_progress,
                               .arg = &one };
    return media_run(engine, &work);
}
