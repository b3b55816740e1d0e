/* system.sleep: an engine that does nothing but take its time, so that time limits, kills, failures
 * and hand-backs can be seen without a codec. */
#include "services/worker/engine.h"

#include "common/clock.h"
#include "proto/codec.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { STEP_MS = 50 };

static volatile sig_atomic_t told_to_end;

static void on_term(int number)
{
    (void)number;
    told_to_end = 1;
}

static int say(engine_t *self)
{
    const char *message = NULL;
    if (!engine_given(self, "message"))
        return 0;
    int r = engine_text(self, "message", &message);
    if (r == 0)
        (void)fprintf(stderr, "%s\n", message);
    return r;
}

/* What an earlier attempt slept already: its checkpoint is that number. */
static int64_t slept_before(const engine_t *self)
{
    struct slice value;
    uint64_t ms = 0;
    bool known = engine_checkpoint(self, &value) && codec_whole(value, &ms) && ms < INT32_MAX;
    return known ? (int64_t)ms : 0;
}

/* Ends as any program does that SIGTERM ends, but for what it leaves behind. */
static void leave(engine_t *self, int64_t slept_ms)
{
    msgpack_sbuffer bytes;
    msgpack_packer pk;
    msgpack_sbuffer_init(&bytes);
    msgpack_packer_init(&pk, &bytes, msgpack_sbuffer_write);
    if (msgpack_pack_int64(&pk, slept_ms) == 0)
        engine_keep(self, slice_make(bytes.data, bytes.size));
    msgpack_sbuffer_destroy(&bytes);
    (void)signal(SIGTERM, SIG_DFL);
    (void)raise(SIGTERM);
}

int system_sleep(engine_t *self)
{
    double seconds = 0;
    uint64_t code = 0;
    int r = engine_number(self, "seconds", 0, 86400, &seconds);
    if (r == 0)
        r = engine_whole(self, "exit", 0, 255, &code);
    if (r == 0)
        r = say(self);
    if (r)
        return r;

    (void)signal(SIGTERM, on_term);
    int64_t begin_ms = clock_ms() - slept_before(self);
    int64_t wanted_ms = (int64_t)(seconds * 1000);
    int64_t slept_ms = clock_ms() - begin_ms;
    for (; slept_ms < wanted_ms; slept_ms = clock_ms() - begin_ms) {
        int64_t left_ms = wanted_ms - slept_ms;
        (void)usleep((useconds_t)(left_ms < STEP_MS ? left_ms : STEP_MS) * 1000);
        engine_progress(self, (double)slept_ms / (double)wanted_ms);
        if (told_to_end)
            leave(self, slept_ms);
    }
    if (code)
        exit((int)code); /* without a word of why, as a crash would */
    engine_put_whole(self, "slept_ms", (uint64_t)slept_ms);
    return 0;
}
