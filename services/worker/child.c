#include "services/worker/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    COMMAND_MAX = 16,
    STDIO = EXEC_REPORT + 1,
    LATE_MS = 1000, /* how long a pipe may stay open that somebody outside holds */
    READ_BYTES = 65536
};

enum pipe_name { PIPE_INPUT, PIPE_ERRORS, PIPE_MESSAGES, PIPE_ORDERS, PIPE_REPORT, PIPES };

struct child {
    struct child_row row; /* only loop, callbacks and arg are used after the start */
    uv_pipe_t pipes[PIPES];
    uv_process_t process;
    uv_timer_t late;
    uv_write_t feeding;
    int handles;  /* that are not closed: 0 frees */
    int speaking; /* pipes read that have not come to their end */
    bool exited;  /* the launcher */
    bool spawned; /* process is a handle */
    bool silent;  /* destroyed, or ended: nothing is called back */
    struct child_end end;
    char buffer[READ_BYTES];
};

static void on_closed(uv_handle_t *handle)
{
    child_t *self = handle->data;
    if (--self->handles == 0)
        free(self);
}

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, on_closed);
}

/* Closing the orders' pipe is the order to kill all, should anything be left. */
static void close_all(child_t *self)
{
    for (int i = 0; i < PIPES; i++)
        close_handle((uv_handle_t *)&self->pipes[i]);
    close_handle((uv_handle_t *)&self->late);
    if (self->spawned)
        close_handle((uv_handle_t *)&self->process);
}

static void conclude(child_t *self)
{
    if (self->silent)
        return;
    self->silent = true;
    /* A launcher that was killed could not end what it had started. */
    if (!self->end.report.ended && self->end.report.started)
        (void)kill((pid_t)-self->end.report.pid, SIGKILL);
    self->row.ended(self->row.arg, &self->end);
}

static void conclude_when_all_is_said(child_t *self)
{
    if (self->exited && self->speaking == 0)
        conclude(self);
}

static void on_late(uv_timer_t *timer)
{
    conclude(timer->data);
}

static void on_exit_of(uv_process_t *process, int64_t status, int signal)
{
    (void)status;
    (void)signal;
    child_t *self = process->data;
    self->exited = true;
    (void)uv_timer_start(&self->late, on_late, LATE_MS, 0);
    conclude_when_all_is_said(self);
}

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    child_t *self = handle->data;
    *buffer = uv_buf_init(self->buffer, sizeof self->buffer);
}

static void take(child_t *self, const uv_pipe_t *pipe, struct slice bytes)
{
    if (pipe == &self->pipes[PIPE_ERRORS])
        tail_add(&self->end.tail, bytes);
    else if (pipe == &self->pipes[PIPE_REPORT])
        exec_report_read(&self->end.report, bytes);
    else if (!self->silent && !self->row.said(self->row.arg, bytes))
        child_kill(self);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    child_t *self = stream->data;
    if (size > 0)
        take(self, (uv_pipe_t *)stream, slice_make(buffer->base, (size_t)size));
    if (size >= 0)
        return;
    (void)uv_read_stop(stream);
    self->speaking--;
    conclude_when_all_is_said(self);
}

/* Its end of input is the end of the pipe. An engine that does not read is none of our concern. */
static void on_fed(uv_write_t *write, int status)
{
    (void)status;
    child_t *self = write->data;
    close_handle((uv_handle_t *)&self->pipes[PIPE_INPUT]);
}

/* ---- start ----------------------------------------------------------------------------------- */

static void close_theirs(const int theirs[PIPES])
{
    for (int i = 0; i < PIPES; i++)
        if (theirs[i] >= 0)
            (void)close(theirs[i]);
}

/* True pipes, since /dev/stdin and its kin cannot be opened on the socket pairs libuv would make.
 */
static int make_pipes(child_t *self, int theirs[PIPES])
{
    int r = 0;
    for (int i = 0; r == 0 && i < PIPES; i++) {
        bool we_write = i == PIPE_INPUT || i == PIPE_ORDERS;
        uv_file ends[2];
        r = uv_pipe(ends, we_write ? 0 : UV_NONBLOCK_PIPE, we_write ? UV_NONBLOCK_PIPE : 0);
        if (r)
            break;
        theirs[i] = ends[we_write ? 0 : 1];
        int ours = ends[we_write ? 1 : 0];
        r = uv_pipe_open(&self->pipes[i], ours);
        if (r)
            (void)close(ours);
    }
    return r;
}

static int spawn(child_t *self, const int theirs[PIPES])
{
    static const enum pipe_name pipe_of[STDIO] = {
        [STDIN_FILENO] = PIPE_INPUT,   [STDOUT_FILENO] = PIPE_ERRORS,
        [STDERR_FILENO] = PIPE_ERRORS, [EXEC_MESSAGES] = PIPE_MESSAGES,
        [EXEC_ORDERS] = PIPE_ORDERS,   [EXEC_REPORT] = PIPE_REPORT,
    };
    uv_stdio_container_t stdio[STDIO];
    for (int i = 0; i < STDIO; i++)
        stdio[i] = (uv_stdio_container_t){ .flags = UV_INHERIT_FD, .data.fd = theirs[pipe_of[i]] };

    char until[24], grace[24];
    (void)snprintf(until, sizeof until, "%lld", (long long)self->row.until_ms);
    (void)snprintf(grace, sizeof grace, "%lld", (long long)self->row.grace_ms);
    const char *args[8 + COMMAND_MAX + 1] = { self->row.launcher, "--until", until,
                                              "--grace",          grace,     "--limit",
                                              "core=0",           "--" };
    for (size_t i = 0; self->row.command[i]; i++) {
        if (i == COMMAND_MAX)
            return -E2BIG;
        args[8 + i] = self->row.command[i];
    }
    char *argv[sizeof args / sizeof args[0]];
    memcpy(argv, args, sizeof args); /* libuv does not write to them */
    const uv_process_options_t options = {
        .exit_cb = on_exit_of,
        .file = self->row.launcher,
        .args = argv,
        .env = self->row.env,
        .cwd = self->row.folder,
        .stdio_count = STDIO,
        .stdio = stdio,
    };
    self->spawned = true;
    self->handles++;
    int r = uv_spawn(self->row.loop, &self->process, &options);
    self->process.data = self; /* after: it is set up in there, also when it fails */
    return r;
}

static int listen_and_feed(child_t *self)
{
    static const enum pipe_name read[] = { PIPE_ERRORS, PIPE_MESSAGES, PIPE_REPORT };
    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++) {
        int r = uv_read_start((uv_stream_t *)&self->pipes[read[i]], on_room, on_read);
        if (r)
            return r;
        self->speaking++;
    }
    union {
        const void *given;
        char *libuv; /* reads it, though its type says otherwise */
    } bytes = { .given = self->row.input.data };
    const uv_buf_t buffer = uv_buf_init(bytes.libuv, (unsigned)self->row.input.size);
    self->feeding.data = self;
    return uv_write(&self->feeding, (uv_stream_t *)&self->pipes[PIPE_INPUT], &buffer, 1, on_fed);
}

int child_start(const struct child_row *row, child_t **ret_child)
{
    child_t *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    self->row = *row;
    for (int i = 0; i < PIPES; i++) {
        (void)uv_pipe_init(row->loop, &self->pipes[i], 0);
        self->pipes[i].data = self;
    }
    (void)uv_timer_init(row->loop, &self->late);
    self->late.data = self;
    self->handles = PIPES + 1;

    int theirs[PIPES] = { -1, -1, -1, -1, -1 };
    int r = make_pipes(self, theirs);
    if (r == 0)
        r = spawn(self, theirs);
    close_theirs(theirs);
    if (r == 0)
        r = listen_and_feed(self);
    if (r) {
        child_destroy(&self);
        return r;
    }
    *ret_child = self;
    return 0;
}

void child_destroy(child_t **self_p)
{
    child_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    self->silent = true;
    close_all(self);
}

/* ---- orders ---------------------------------------------------------------------------------- */

static bool order(child_t *self, const char *word, int64_t ms)
{
    char line[EXEC_LINE];
    int size = snprintf(line, sizeof line, "%s %lld\n", word, (long long)ms);
    const uv_buf_t buffer = uv_buf_init(line, (unsigned)size);
    uv_pipe_t *pipe = &self->pipes[PIPE_ORDERS];
    return !uv_is_closing((uv_handle_t *)pipe) &&
           uv_try_write((uv_stream_t *)pipe, &buffer, 1) == size;
}

void child_renew(child_t *self, int64_t until_ms)
{
    /* A launcher that does not read is stopped; the one renewal it misses makes no difference. */
    (void)order(self, "until", until_ms);
}

void child_stop(child_t *self, int64_t grace_ms)
{
    if (!order(self, "stop", grace_ms))
        child_kill(self);
}

void child_kill(child_t *self)
{
    close_handle((uv_handle_t *)&self->pipes[PIPE_ORDERS]);
}
