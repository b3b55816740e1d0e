/* serve: a private Redis, a broker and a state service as children, until SIGTERM. */
#include "common/clock.h"
#include "common/slice.h"
#include "tests/bench/bench.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ARGS = 24, CHILDREN = 3 };

static pid_t children[CHILDREN];
static char quiet[] = "--log-level=warn";
static volatile sig_atomic_t ending;

static void on_terminate(int signal_number)
{
    (void)signal_number;
    ending = 1;
}

static pid_t start(char *const argv[])
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    execvp(argv[0], argv);
    (void)fprintf(stderr, "gantry-bench: %s cannot be started\n", argv[0]);
    _exit(127);
}

static void beside(const char *name, char path[PATH_MAX])
{
    ssize_t size = readlink("/proc/self/exe", path, PATH_MAX - 64);
    char *slash;
    path[size > 0 ? size : 0] = '\0';
    slash = strrchr(path, '/');
    (void)snprintf(slash ? slash + 1 : path, 64, "%s", name);
}

static void start_redis(const char *dir, const char *fsync)
{
    char path[PATH_MAX + 16], folder[PATH_MAX];
    if (!realpath(dir, folder)) /* Redis goes into it before it makes its socket */
        bench_die("dir= is no folder");
    (void)snprintf(path, sizeof path, "%s/redis.sock", folder);
    char aof[8] = "yes", policy[16];
    (void)snprintf(policy, sizeof policy, "%s", fsync);
    if (strcmp(fsync, "none") == 0) {
        (void)snprintf(aof, sizeof aof, "no");
        (void)snprintf(policy, sizeof policy, "everysec");
    }
    const char *const args[] = { "redis-server",
                                 "--port",
                                 "0",
                                 "--unixsocket",
                                 path,
                                 "--dir",
                                 folder,
                                 "--save",
                                 "",
                                 "--appendonly",
                                 aof,
                                 "--appendfsync",
                                 policy,
                                 "--auto-aof-rewrite-percentage",
                                 "0",
                                 "--hash-max-listpack-value",
                                 "1024",
                                 "--logfile",
                                 "redis.log",
                                 "--loglevel",
                                 "warning",
                                 NULL };
    char *argv[ARGS];
    memcpy(argv, args, sizeof args);
    children[0] = start(argv);
}

static void wait_for(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int64_t until = clock_ms() + 20000;
    if (!slice_copy(slice_of(path), address.sun_path, sizeof address.sun_path))
        bench_die("dir= is too long for a socket's path");
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int r = connect(fd, (struct sockaddr *)&address, sizeof address);
        (void)close(fd);
        if (r == 0)
            return;
        if (clock_ms() > until)
            bench_die("a child does not listen");
        usleep(10000);
    }
}

static void start_broker(const char *dir, uint64_t port)
{
    char program[PATH_MAX], clients[BENCH_TEXT * 2], workers[BENCH_TEXT * 2], states[BENCH_TEXT],
        status[BENCH_TEXT];
    beside("gantry-broker", program);
    (void)snprintf(clients, sizeof clients,
                   "--broker-clients=ipc://%s/clients,tcp://127.0.0.1:%llu", dir,
                   (unsigned long long)port);
    (void)snprintf(workers, sizeof workers,
                   "--broker-workers=ipc://%s/workers,tcp://127.0.0.1:%llu", dir,
                   (unsigned long long)port + 1);
    (void)snprintf(states, sizeof states, "--broker-states=ipc://%s/states", dir);
    (void)snprintf(status, sizeof status, "--broker-status=ipc://%s/status", dir);
    children[1] = start((char *[]){ program, clients, workers, states, status, quiet, NULL });
}

static void start_state(const char *dir)
{
    char program[PATH_MAX], redis[BENCH_TEXT], brokers[BENCH_TEXT], root[BENCH_TEXT];
    beside("gantry-state", program);
    (void)snprintf(redis, sizeof redis, "--redis-addr=%s/redis.sock", dir);
    (void)snprintf(brokers, sizeof brokers, "--state-brokers=ipc://%s/states", dir);
    (void)snprintf(root, sizeof root, "--storage-root=%s/workflows", dir);
    children[2] = start((char *[]){ program, redis, brokers, root, quiet, NULL });
}

static void stop_all(void)
{
    for (int i = CHILDREN; i-- > 0;) {
        if (children[i] > 0)
            kill(children[i], SIGTERM);
        if (children[i] > 0)
            waitpid(children[i], NULL, 0);
    }
}

int bench_serve(void)
{
    const char *dir = bench_option("dir", ".");
    char path[BENCH_TEXT];
    struct sigaction terminate = { .sa_handler = on_terminate };
    int status = 0;
    if (strcmp(bench_option("fused", "0"), "0") != 0)
        bench_die("fused=1: broker and state in one process is not offered");
    sigaction(SIGTERM, &terminate, NULL);
    sigaction(SIGINT, &terminate, NULL);
    (void)mkdir(dir, 0700);
    start_redis(dir, bench_option("fsync", "everysec"));
    (void)snprintf(path, sizeof path, "%s/redis.sock", dir);
    wait_for(path);
    start_broker(dir, bench_number("port", 5599));
    start_state(dir);
    while (!ending && waitpid(-1, &status, WNOHANG) == 0)
        usleep(50000);
    if (!ending)
        (void)fprintf(stderr, "gantry-bench: a child ended by itself\n");
    stop_all();
    return ending ? 0 : 1;
}
