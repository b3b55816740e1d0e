/* Stands where gantry-engine is looked for: runs the real one, and writes down when it began, that
 * it lives, and how it ended. Lies in FOLDER/bin, its journal is FOLDER/journal/engines. */
#include "tests/faults/load.h"

#include "common/clock.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { STEP_MS = 5, ALIVE_MS = 25, GAP_MS = 200, ENGINE_SAYS = 3 };

static void heed_nothing(int signal_number)
{
    (void)signal_number; /* a handler, since what is ignored would be ignored by the engine too */
}

static const char *given(const char *name)
{
    const char *text = getenv(name);
    return text && *text ? text : "-";
}

/* Ends as the engine ended, so that who started this sees no difference. */
static int end_alike(int status)
{
    if (!WIFSIGNALED(status))
        return WEXITSTATUS(status);
    (void)signal(WTERMSIG(status), SIG_DFL);
    (void)raise(WTERMSIG(status));
    return 128 + WTERMSIG(status);
}

static int watch(pid_t child)
{
    const struct timespec step = { .tv_nsec = STEP_MS * 1000000L };
    int64_t said_ms = clock_ms(), last_ms = said_ms;
    int status = 0;
    while (waitpid(child, &status, WNOHANG) != child) {
        (void)nanosleep(&step, NULL);
        int64_t now_ms = clock_ms();
        if (now_ms - last_ms > GAP_MS)
            journal('G', "%d %" PRId64, (int)getpid(), now_ms - last_ms);
        last_ms = now_ms;
        if (now_ms - said_ms < ALIVE_MS)
            continue;
        said_ms = now_ms;
        journal('B', "%d", (int)getpid());
    }
    return status;
}

int load_engine(char **argv)
{
    char folder[4096], path[4200];
    ssize_t size = readlink("/proc/self/exe", folder, sizeof folder - 1);
    if (size <= 0)
        load_die("who am I");
    folder[size] = '\0';
    for (int up = 0; up < 2; up++) /* FOLDER/bin/gantry-engine */
        *strrchr(folder, '/') = '\0';
    (void)snprintf(path, sizeof path, "%s/journal/engines", folder);
    journal_open(path);
    journal('S', "%s %s %s - %d %s", given("GANTRY_TASK_ID"), given("GANTRY_TASK_NAME"),
            given("GANTRY_ATTEMPT"), (int)getpid(), "engine");
    (void)signal(SIGTERM, heed_nothing);
    (void)snprintf(path, sizeof path, "%s/bin/gantry-engine.real", folder);
    pid_t child = fork();
    if (child == 0) {
        (void)signal(SIGTERM, SIG_DFL);
        (void)execv(path, argv);
        _exit(127);
    }
    if (child < 0)
        return 75;
    (void)close(0); /* these pipes end when the engine ends */
    (void)close(ENGINE_SAYS);
    int status = watch(child);
    journal('E', "%d %s %d", (int)getpid(), WIFSIGNALED(status) ? "signal" : "exit",
            WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    return end_alike(status);
}
