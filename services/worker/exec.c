/* gantry-exec: runs one command and answers for every process that comes of it.
 *
 * It is the subreaper of all descendants, so that a daemon cannot slip away by forking twice or by
 * a session of its own: whatever loses its parent becomes a child here and is killed with the rest.
 * The deadline is kept here and not in the worker, since the worker may be the one that was
 * stopped. */
#include "services/worker/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "services/worker/exec_children.h"
#include "services/worker/exec_options.h"

enum { SWEEP_MS = 20, EXIT_NOT_RUN = 127 };

static const char *const end_texts[] = {
#define END_TEXT(name, text) [EXEC_##name] = (text),
    EXEC_ENDS(END_TEXT)
#undef END_TEXT
};

struct launch {
    struct exec_options options;
    int64_t until_ms; /* everything is killed then; INT64_MAX: never */
    pid_t child;
    int status;        /* of the child, once it has ended */
    bool ended;        /* the child was reaped: its pid may be somebody else's by now */
    bool alone;        /* no descendant is left */
    bool dying;        /* all that is left is being killed */
    int64_t kill_ms;   /* when a stop's grace is over; INT64_MAX: no stop */
    bool closed;       /* no more orders */
    enum exec_end end; /* the first cause counts */
    int failure;       /* the errno of a command that could not be run comes through here */
    int signals;
    char line[EXEC_LINE]; /* an order that came in part */
    size_t line_size;
};

static int64_t now_ms(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static void say(const char *line, int size)
{
    /* Nobody reads: then nobody needs it. */
    if (size > 0 && write(EXEC_REPORT, line, (size_t)size) < 0)
        return;
}

/* ---- ending ---------------------------------------------------------------------------------- */

static void die(struct launch *self, enum exec_end end)
{
    if (self->end == EXEC_ITSELF)
        self->end = end;
    self->dying = true;
}

static void stop(struct launch *self, int64_t grace_ms)
{
    if (self->kill_ms != INT64_MAX || self->ended)
        return;
    self->kill_ms = now_ms() + (grace_ms < INT32_MAX ? grace_ms : INT32_MAX);
    if (self->end == EXEC_ITSELF)
        self->end = EXEC_STOPPED;
    (void)kill(-self->child, SIGTERM);
    (void)kill(-self->child, SIGCONT); /* a stopped process could not act on it */
}

static void kill_all(const struct launch *self)
{
    if (!self->ended)
        (void)kill(-self->child, SIGKILL);
    exec_kill_children();
}

/* The child's group is killed while its zombie still keeps the number from being used again. */
static void on_ended(struct launch *self)
{
    (void)kill(-self->child, SIGKILL);
    self->ended = waitpid(self->child, &self->status, WNOHANG) == self->child;
    self->dying = true;
}

/* Descendants that lost their parent are waited for too, or they would stay as zombies. */
static void reap(struct launch *self)
{
    for (;;) {
        siginfo_t info = { 0 };
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0) {
            self->alone = errno == ECHILD;
            return;
        }
        if (info.si_pid == 0)
            return;
        if (info.si_pid == self->child && !self->ended)
            on_ended(self);
        else
            (void)waitpid(info.si_pid, NULL, WNOHANG);
    }
}

/* ---- orders ---------------------------------------------------------------------------------- */

static void obey(struct launch *self, const char *order)
{
    int64_t ms = 0;
    if (strncmp(order, "until ", 6) == 0 && exec_number(order + 6, &ms))
        self->until_ms = ms;
    else if (strncmp(order, "stop ", 5) == 0 && exec_number(order + 5, &ms))
        stop(self, ms);
    else
        die(self, EXEC_KILLED); /* "kill", and whatever cannot be understood */
}

static void take(struct launch *self, char c)
{
    if (c != '\n' && self->line_size + 1 < sizeof self->line) {
        self->line[self->line_size++] = c;
        return;
    }
    self->line[self->line_size] = '\0';
    self->line_size = 0;
    obey(self, self->line);
}

static void read_orders(struct launch *self)
{
    char bytes[512];
    ssize_t size = read(EXEC_ORDERS, bytes, sizeof bytes);
    if (size == 0 || (size < 0 && errno != EINTR && errno != EAGAIN)) {
        self->closed = true;
        die(self, EXEC_CLOSED);
    }
    for (ssize_t i = 0; i < size; i++)
        take(self, bytes[i]);
}

static void read_signals(struct launch *self)
{
    struct signalfd_siginfo info;
    while (read(self->signals, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGHUP)
            die(self, EXEC_CLOSED); /* our own PDEATHSIG: the worker is gone */
        else if (info.ssi_signo != SIGCHLD)
            stop(self, self->options.grace_ms);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static int wait_ms(const struct launch *self)
{
    if (self->dying)
        return SWEEP_MS;
    int64_t until_ms = self->until_ms < self->kill_ms ? self->until_ms : self->kill_ms;
    if (until_ms == INT64_MAX)
        return -1;
    int64_t left_ms = until_ms - now_ms();
    if (left_ms <= 0)
        return 0;
    return left_ms < 60000 ? (int)left_ms : 60000;
}

static void look_at_the_clock(struct launch *self)
{
    int64_t now = now_ms();
    if (now >= self->until_ms)
        die(self, EXEC_DEADLINE);
    else if (now >= self->kill_ms)
        die(self, EXEC_STOPPED);
}

/* Until nobody is left. A renewal that lies in the pipe is read before the deadline is looked at;
 * it names a point in time, so that one from before a stop of ourselves cannot lengthen anything.
 */
static void supervise(struct launch *self)
{
    struct pollfd fds[] = { { .fd = self->signals, .events = POLLIN },
                            { .fd = EXEC_ORDERS, .events = POLLIN } };
    for (reap(self); !self->alone; reap(self)) {
        if (self->dying)
            kill_all(self);
        fds[1].fd = self->closed ? -1 : EXEC_ORDERS;
        int ready = poll(fds, 2, wait_ms(self));
        if (ready > 0 && fds[0].revents)
            read_signals(self);
        if (ready > 0 && fds[1].revents)
            read_orders(self);
        look_at_the_clock(self);
    }
}

static int64_t time_ms(struct timeval tv)
{
    return (int64_t)tv.tv_sec * 1000 + tv.tv_usec / 1000;
}

static int report(const struct launch *self)
{
    char line[EXEC_LINE];
    int error = 0;
    if (read(self->failure, &error, sizeof error) == (ssize_t)sizeof error) {
        say(line, snprintf(line, sizeof line, "failed %d\n", error));
        return EXIT_NOT_RUN;
    }
    struct rusage used = { 0 };
    (void)getrusage(RUSAGE_CHILDREN, &used); /* all were reaped, so all are in it */
    int code = WIFEXITED(self->status) ? WEXITSTATUS(self->status) : 0;
    int signal = WIFSIGNALED(self->status) ? WTERMSIG(self->status) : 0;
    say(line, snprintf(line, sizeof line, "ended %d %d %lld %lld %lld %s\n", code, signal,
                       (long long)time_ms(used.ru_utime), (long long)time_ms(used.ru_stime),
                       (long long)used.ru_maxrss * 1024, end_texts[self->end]));
    return 0;
}

/* ---- start ----------------------------------------------------------------------------------- */

/* In the child: never returns. */
static void become(const struct launch *self, pid_t launcher, int failure)
{
    (void)setpgid(0, 0);
    int r = prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (r == 0 && getppid() != launcher)
        _exit(EXIT_NOT_RUN); /* died before it could be noticed */

    for (size_t i = 0; r == 0 && i < self->options.limits_count; i++) {
        const struct exec_limit *limit = &self->options.limits[i];
        r = setrlimit(limit->resource, &(struct rlimit){ limit->most, limit->most });
    }
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (r == 0)
        r = close_range(EXEC_ORDERS, ~0U, CLOSE_RANGE_CLOEXEC);
    if (r == 0)
        (void)execvp(self->options.command[0], self->options.command);
    int error = errno;
    if (write(failure, &error, sizeof error) < 0)
        _exit(EXIT_NOT_RUN);
    _exit(EXIT_NOT_RUN);
}

/* Whatever signals the caller blocked or ignored (SIGCHLD ignored would leave nothing to wait for).
 */
static int take_signals(void)
{
    for (int n = 1; n < NSIG; n++)
        (void)signal(n, SIG_DFL);
    sigset_t set;
    (void)sigfillset(&set);
    if (sigprocmask(SIG_SETMASK, &set, NULL) != 0)
        return -1;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGCHLD);
    (void)sigaddset(&set, SIGHUP);
    (void)sigaddset(&set, SIGTERM);
    (void)sigaddset(&set, SIGINT);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* 0 or -errno. */
static int start(struct launch *self)
{
    int failure[2];
    (void)setsid(); /* fails when it leads a session already, which is as good */
    if (close_range(EXEC_REPORT + 1, ~0U, 0) != 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ||
        prctl(PR_SET_PDEATHSIG, SIGHUP) != 0 || pipe2(failure, O_CLOEXEC | O_NONBLOCK) != 0)
        return -errno;
    self->failure = failure[0];
    self->signals = take_signals();
    if (self->signals < 0)
        return -errno;

    pid_t launcher = getpid();
    self->child = fork();
    if (self->child < 0)
        return -errno;
    if (self->child == 0)
        become(self, launcher, failure[1]);
    (void)setpgid(self->child,
                  self->child); /* whoever is first: the group is there before any kill */
    (void)close(failure[1]);

    char line[EXEC_LINE];
    say(line, snprintf(line, sizeof line, "started %d\n", (int)self->child));
    return 0;
}

/* What is the engine's alone must not be held open here. Error output stays for our own words. */
static void let_go(void)
{
    (void)close(STDIN_FILENO);
    (void)close(STDOUT_FILENO);
    (void)close(EXEC_MESSAGES);
}

int main(int argc, char **argv)
{
    struct launch launch = { .kill_ms = INT64_MAX };
    int r = exec_options_read(&launch.options, argc, argv);
    if (r)
        return r - 1;
    if (fcntl(EXEC_MESSAGES, F_GETFD) < 0 || fcntl(EXEC_ORDERS, F_GETFD) < 0 ||
        fcntl(EXEC_REPORT, F_GETFD) < 0) {
        (void)fputs("gantry-exec: descriptors 3, 4 and 5 must be open\n", stderr);
        return EXEC_USAGE;
    }

    launch.until_ms = launch.options.until_ms;
    r = start(&launch);
    if (r < 0) {
        (void)fprintf(stderr, "gantry-exec: cannot start: %s\n", strerror(-r));
        return 1;
    }
    let_go();
    supervise(&launch);
    return report(&launch);
}
