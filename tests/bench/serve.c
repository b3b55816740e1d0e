/* serve: a private Redis, brokers and state services as children, until SIGTERM. */
#include "common/clock.h"
#include "common/slice.h"
#include "services/cli/redis_conf.h"
#include "tests/bench/bench.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 31, CHILDREN_MAX = 1 + 2 * BENCH_BROKERS_MAX, LISTEN_MS = 20000 };

static struct child {
    char *arguments[ARGUMENTS_MAX + 1];
    size_t count;
    pid_t pid;
} children[CHILDREN_MAX];
static size_t children_count;

static const char *dir;
static unsigned brokers, states;
static uint64_t port;
static sigset_t signals; /* waited for, never caught */

static const char *suffix(unsigned i)
{
    return i ? "2" : "";
}

/* ---- a child's arguments ---- */

static void add(struct child *child, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void add(struct child *child, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    if (child->count == ARGUMENTS_MAX ||
        vasprintf(&child->arguments[child->count++], format, list) < 0)
        bench_die("too many arguments");
    va_end(list);
}

/* A program that lies beside this one. */
static struct child *make(const char *name)
{
    struct child *child = &children[children_count++];
    char path[PATH_MAX];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    path[size > 0 ? size : 0] = '\0';
    char *slash = strrchr(path, '/');
    add(child, "%.*s/%s", (int)(slash ? slash - path : 0), path, name);
    if (access(child->arguments[0], X_OK)) {
        (void)fprintf(stderr, "gantry-bench: there is no program %s\n", child->arguments[0]);
        exit(1);
    }
    return child;
}

static void add_broker(struct child *child, unsigned i)
{
    const unsigned long long clients = port + 2ull * i;
    add(child, "--broker-clients=ipc://%s/clients%s,tcp://127.0.0.1:%llu", dir, suffix(i), clients);
    add(child, "--broker-workers=ipc://%s/workers%s,tcp://127.0.0.1:%llu", dir, suffix(i),
        clients + 1);
    add(child, "--broker-states=ipc://%s/states%s", dir, suffix(i));
    add(child, "--broker-status=ipc://%s/status%s", dir, suffix(i));
}

static void add_state(struct child *child)
{
    static const char *const settings[] = { "queue-max", "audit-interval-ms" };
    add(child, "--redis-addr=%s/redis.sock", dir);
    if (brokers == 1)
        add(child, "--state-brokers=ipc://%s/states", dir);
    else
        add(child, "--state-brokers=ipc://%s/states,ipc://%s/states2", dir, dir);
    add(child, "--storage-root=%s/workflows", dir);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (bench_option(settings[i], NULL))
            add(child, "--%s=%s", settings[i], bench_option(settings[i], NULL));
}

/* The settings that everybody is told to give Redis, but that its log is never rewritten: when that
 * comes is chance. */
static void make_redis(void)
{
    struct child *child = &children[children_count++];
    const char *fsync = bench_option("fsync", "everysec");
    const bool none = strcmp(fsync, "none") == 0;
    char path[PATH_MAX], folder[PATH_MAX - 64];
    if (!realpath(dir, folder)) /* Redis goes into it before it makes its socket */
        bench_die("dir= is no folder");
    (void)snprintf(path, sizeof path, "%s/redis.conf", folder);
    FILE *file = fopen(path, "w");
    if (!file || fwrite(redis_conf, redis_conf_size, 1, file) != 1 || fclose(file))
        bench_die("redis.conf cannot be written");
    add(child, "redis-server");
    add(child, "%s", path);
    add(child, "--port");
    add(child, "0");
    add(child, "--unixsocket");
    add(child, "%s/redis.sock", folder);
    add(child, "--dir");
    add(child, "%s", folder);
    add(child, "--appendonly");
    add(child, "%s", none ? "no" : "yes");
    add(child, "--appendfsync");
    add(child, "%s", none ? "no" : fsync);
    add(child, "--auto-aof-rewrite-percentage");
    add(child, "0");
    add(child, "--logfile");
    add(child, "redis.log");
    add(child, "--loglevel");
    add(child, "warning");
}

static void make_ours(void)
{
    const bool fused = strcmp(bench_option("fused", "0"), "0") != 0;
    for (unsigned i = 0; i < brokers; i++) {
        struct child *child = make(fused ? "gantry-node" : "gantry-broker");
        add_broker(child, i);
        if (fused)
            add_state(child);
        add(child, "--log-level=warn");
    }
    for (unsigned i = 0; i < states && !fused; i++) {
        struct child *child = make("gantry-state");
        add_state(child);
        add(child, "--log-level=warn");
    }
}

/* ---- their life ---- */

static void start(struct child *child)
{
    pid_t parent = getpid();
    child->pid = fork();
    if (child->pid)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
    if (getppid() != parent)
        _exit(1);
    execvp(child->arguments[0], child->arguments);
    (void)fprintf(stderr, "gantry-bench: %s cannot be started\n", child->arguments[0]);
    _exit(127);
}

static void wait_for_redis(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int64_t until = clock_ms() + LISTEN_MS;
    int size = snprintf(address.sun_path, sizeof address.sun_path, "%s/redis.sock", dir);
    if (size >= (int)sizeof address.sun_path)
        bench_die("dir= is too long for a socket's path");
    for (int r = -1; r;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        r = connect(fd, (struct sockaddr *)&address, sizeof address);
        (void)close(fd);
        if (r && clock_ms() > until)
            bench_die("Redis does not listen");
        if (r)
            usleep(10000);
    }
}

/* Who ended is started again, if that is wanted. False: one ended that should not have. */
static bool look_after(bool keep)
{
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
        for (size_t i = 0; i < children_count; i++)
            if (children[i].pid == pid) {
                children[i].pid = 0;
                if (!keep)
                    return false;
                start(&children[i]);
            }
    return true;
}

static void stop_all(void)
{
    for (size_t i = children_count; i-- > 0;)
        if (children[i].pid > 0 && kill(children[i].pid, SIGTERM) == 0)
            waitpid(children[i].pid, NULL, 0);
}

int bench_serve(void)
{
    const bool keep = strcmp(bench_option("keep", "0"), "0") != 0;
    bool good = true;
    int came = SIGCHLD;
    dir = bench_option("dir", ".");
    port = bench_number("port", 5599);
    brokers = (unsigned)bench_number("brokers", 1);
    states = (unsigned)bench_number("states", 1);
    if (brokers < 1 || brokers > BENCH_BROKERS_MAX || states < 1 || states > BENCH_BROKERS_MAX)
        bench_die("brokers= and states= are 1 or 2");
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    (void)mkdir(dir, 0700);
    make_redis();
    make_ours();
    start(&children[0]);
    wait_for_redis();
    for (size_t i = 1; i < children_count; i++)
        start(&children[i]);
    while (good && (came == SIGCHLD || (came < 0 && errno == EINTR))) {
        good = look_after(keep);
        if (good)
            came = sigwaitinfo(&signals, NULL);
    }
    if (!good)
        (void)fprintf(stderr, "gantry-bench: a child ended by itself\n");
    stop_all();
    return good ? 0 : 1;
}
