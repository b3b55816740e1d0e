#include "services/cli/house.h"

#include "common/clock.h"
#include "common/scoped.h"
#include "services/cli/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>

enum {
    PAUSE_MS = 100, /* before the first new start, doubled for each death that follows soon */
    PAUSE_MOST_MS = 5000,
    SETTLED_MS = 10000, /* who lived so long begins with the short pause again */
    DEATHS_MOST = 8,    /* in a row, by one that never settled */
    QUICK_MS = 1000,    /* who lives shorter could not start */
    QUICK_MOST = 5,     /* in a row */
    NO_PROCESS = 125,   /* there was none to start it in */
    NOT_RUN = 126,      /* exit codes of child.h */
    NOT_THERE = 127,
    ARGUMENTS_MAX = 32
};

struct inmate {
    struct house_child row;
    house_t *house;
    uv_process_t process;
    uv_timer_t timer; /* the pause before a new start, or the patience before SIGKILL */
    int64_t started_ms;
    int64_t pause_ms;
    int64_t code; /* how it ended last */
    int sig;
    int deaths;
    int quick;    /* of them, the last ones within QUICK_MS */
    bool settled; /* lived SETTLED_MS once */
    bool alive;   /* process is open: from a start until its handle is closed */
    bool told;    /* got its SIGTERM */
};

struct house {
    uv_loop_t *loop;
    const char *self;
    struct house_events events;
    void *arg;
    size_t count;
    size_t timers; /* not closed yet */
    bool served;   /* house_served() */
    bool stopping;
    bool hurried;
    struct inmate inmates[HOUSE_CHILDREN_MAX];
};

house_t *house_new(uv_loop_t *loop, const char *self, const struct house_events *events, void *arg)
{
    house_t *house = calloc(1, sizeof *house);
    if (!house)
        return NULL;
    house->loop = loop;
    house->self = self;
    house->events = *events;
    house->arg = arg;
    return house;
}

void house_destroy(house_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

/* ---- stopping ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    house_t *house = handle->data;
    if (--house->timers == 0)
        house->events.gone(house->arg);
}

static void close_timers(house_t *self)
{
    for (size_t i = 0; i < self->count; i++) {
        uv_handle_t *timer = (uv_handle_t *)&self->inmates[i].timer;
        timer->data = self;
        uv_close(timer, on_timer_closed);
    }
    if (self->count == 0)
        self->events.gone(self->arg);
}

static void on_patience_over(uv_timer_t *timer)
{
    struct inmate *inmate = timer->data;
    if (inmate->alive)
        (void)uv_process_kill(&inmate->process, SIGKILL);
}

static void tell(struct inmate *inmate)
{
    bool now = inmate->house->hurried && inmate->row.rank > 0;
    if (!inmate->alive || (inmate->told && !now))
        return;
    (void)uv_process_kill(&inmate->process, now ? SIGKILL : SIGTERM);
    if (!inmate->told)
        uv_timer_start(&inmate->timer, on_patience_over, (uint64_t)inmate->row.patience_ms, 0);
    inmate->told = true;
}

/* Tells the highest rank that lives; ends when none does. */
static void go_on(house_t *self)
{
    int rank = -1;
    for (size_t i = 0; i < self->count; i++)
        if (self->inmates[i].alive && self->inmates[i].row.rank > rank)
            rank = self->inmates[i].row.rank;
    if (rank < 0) {
        close_timers(self);
        return;
    }
    for (size_t i = 0; i < self->count; i++)
        if (self->inmates[i].row.rank == rank)
            tell(&self->inmates[i]);
}

void house_stop(house_t *self)
{
    self->hurried = self->stopping;
    self->stopping = true;
    for (size_t i = 0; i < self->count; i++)
        if (!self->inmates[i].alive)
            uv_timer_stop(&self->inmates[i].timer);
    go_on(self);
}

/* ---- living ---- */

static void on_pause_over(uv_timer_t *timer);

static bool hopeless(const struct inmate *inmate)
{
    if (inmate->house->served)
        return false;
    return inmate->code == NOT_RUN || inmate->code == NOT_THERE || inmate->quick >= QUICK_MOST ||
           (inmate->deaths >= DEATHS_MOST && !inmate->settled);
}

static void start_later(struct inmate *inmate)
{
    house_t *house = inmate->house;
    int64_t lived_ms = clock_ms() - inmate->started_ms;
    bool settled = lived_ms >= SETTLED_MS;
    inmate->settled |= settled;
    inmate->quick = lived_ms < QUICK_MS ? inmate->quick + 1 : 0;
    inmate->deaths = settled ? 1 : inmate->deaths + 1;
    inmate->pause_ms = settled || !inmate->pause_ms ? PAUSE_MS : 2 * inmate->pause_ms;
    if (inmate->pause_ms > PAUSE_MOST_MS)
        inmate->pause_ms = PAUSE_MOST_MS;
    if (hopeless(inmate)) {
        house->events.hopeless(house->arg, &inmate->row);
        return;
    }
    house->events.died(house->arg, &inmate->row, inmate->code, inmate->sig, inmate->pause_ms);
    if (!house->stopping)
        uv_timer_start(&inmate->timer, on_pause_over, (uint64_t)inmate->pause_ms, 0);
}

static void on_process_closed(uv_handle_t *handle)
{
    struct inmate *inmate = handle->data;
    inmate->alive = false;
    uv_timer_stop(&inmate->timer);
    if (inmate->house->stopping)
        go_on(inmate->house);
    else
        start_later(inmate);
}

/* A new start waits until the handle is closed: its memory is used again. */
static void on_ended(uv_process_t *process, int64_t code, int sig)
{
    struct inmate *inmate = process->data;
    inmate->code = code;
    inmate->sig = sig;
    uv_close((uv_handle_t *)process, on_process_closed);
}

/* libuv takes arguments as mutable, but only hands them to exec. */
static char *mutable(const char *text)
{
    union {
        const char *in;
        char *out;
    } cast = { text };
    return cast.out;
}

static void start(struct inmate *inmate)
{
    char parent[24];
    char sig[12];
    char *argv[ARGUMENTS_MAX];
    size_t count = 0;
    (void)snprintf(parent, sizeof parent, "%ld", (long)getpid());
    (void)snprintf(sig, sizeof sig, "%d", inmate->row.death_signal);
    argv[count++] = mutable(inmate->house->self);
    argv[count++] = mutable(CHILD_VERB);
    argv[count++] = parent;
    argv[count++] = sig;
    argv[count++] = mutable(inmate->row.lock ? inmate->row.lock : "-");
    for (const char *const *at = inmate->row.argv; *at && count < ARGUMENTS_MAX - 1; at++)
        argv[count++] = mutable(*at);
    argv[count] = NULL;

    scoped_fd int log = open(inmate->row.log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    uv_stdio_flags flags = log < 0 ? UV_IGNORE : UV_INHERIT_FD; /* a full disk stops nobody */
    uv_stdio_container_t stdio[3] = {
        { .flags = UV_IGNORE },
        { .flags = flags, .data.fd = log },
        { .flags = flags, .data.fd = log },
    };
    uv_process_options_t options = { .file = inmate->house->self,
                                     .args = argv,
                                     .flags = UV_PROCESS_DETACHED,
                                     .stdio = stdio,
                                     .stdio_count = 3,
                                     .exit_cb = on_ended };
    inmate->started_ms = clock_ms();
    inmate->alive = true;
    inmate->told = false;
    int r = uv_spawn(inmate->house->loop, &inmate->process, &options);
    inmate->process.data = inmate;
    if (r)
        on_ended(&inmate->process, NO_PROCESS, 0);
}

static void on_pause_over(uv_timer_t *timer)
{
    start(timer->data);
}

void house_served(house_t *self)
{
    self->served = true;
}

int house_add(house_t *self, const struct house_child *child)
{
    if (self->count == HOUSE_CHILDREN_MAX)
        return -ENFILE;
    struct inmate *inmate = &self->inmates[self->count++];
    *inmate = (struct inmate){ .row = *child, .house = self };
    uv_timer_init(self->loop, &inmate->timer);
    inmate->timer.data = inmate;
    self->timers++;
    start(inmate);
    return 0;
}
