#include "common/program.h"

#include <czmq.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/scoped.h"
#include "tests/unit/common/scratch.h"
#include "tests/unit/test.h"

/* A daemon that says in a file what happens to it. Each test runs it in a child of its own. */
struct daemon {
    program_t *program;
    uv_timer_t timer;
    zsock_t *socket;
    int stops;
};

enum behaviour { STOPS_AT_ONCE, STOPS_LATER, NEVER_STOPS, FAILS, FAILS_WITH_SELF, ENDS_IN_START };
static enum behaviour behaviour;

static void note(const char *what)
{
    FILE *file = fopen("notes", "ae");
    if (!file || fprintf(file, "%s ", what) < 0 || fclose(file))
        abort();
}

static int start(program_t *program, const struct settings *settings, void **ret_self)
{
    note(settings->log_level);
    if (behaviour == FAILS)
        return -EADDRINUSE;
    struct daemon *self = calloc(1, sizeof *self);
    if (!self)
        return -ENOMEM;
    self->program = program;
    self->socket = zsock_new(ZMQ_PAIR); /* CZMQ would take the signals here */
    (void)uv_timer_init(program_loop(program), &self->timer);
    self->timer.data = self;
    *ret_self = self;
    if (behaviour == ENDS_IN_START)
        program_end(program, 7);
    note("started");
    return behaviour == FAILS_WITH_SELF ? -EIO : 0;
}

static void on_timer(uv_timer_t *timer)
{
    struct daemon *self = timer->data;
    program_end(self->program, 0);
}

static void stop(void *arg)
{
    struct daemon *self = arg;
    note("stop");
    if (behaviour == STOPS_AT_ONCE)
        program_end(self->program, 0);
    else if (behaviour == STOPS_LATER)
        (void)uv_timer_start(&self->timer, on_timer, 100, 0);
}

static void on_closed(uv_handle_t *handle)
{
    note("closed");
    free(handle->data);
}

static void destroy(void *arg)
{
    struct daemon *self = arg;
    note("destroy");
    zsock_destroy(&self->socket);
    uv_close((uv_handle_t *)&self->timer, on_closed);
}

static const struct program_row row = {
    .name = "gantry-test",
    .summary = "is tried",
    .examples = "  gantry-test --log-level=debug\n",
    .used_by = USED_BY_BROKER,
    .start = start,
    .stop = stop,
    .destroy = destroy,
};

/* Runs main in a child whose output goes to the files out and err. */
static pid_t launch(enum behaviour how, char *argument, char *value)
{
    (void)unlink("notes");
    scratch_write("notes", "");
    behaviour = how;
    pid_t child = fork();
    if (child == 0) {
        char name[] = "gantry-test";
        char *argv[] = { name, argument, value, NULL };
        int argc = argument ? (value ? 3 : 2) : 1;
        if (!freopen("out", "we", stdout) || !freopen("err", "we", stderr))
            _exit(99);
        int code = program_main(&row, argc, argv);
        (void)fflush(NULL);
        zsys_shutdown();
        _exit(code);
    }
    CHECK(child > 0);
    return child;
}

static int code_of(pid_t child)
{
    int status = 0;
    CHECK_INT(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void await_note(const char *what)
{
    for (int i = 0; i < 1000; i++) {
        scoped_text char *notes = scratch_read("notes");
        if (strstr(notes, what))
            return;
        (void)usleep(5000);
    }
    fail_msg("never noted: %s", what);
}

static void check_notes(const char *should)
{
    scoped_text char *notes = scratch_read("notes");
    CHECK_TEXT(notes, should);
}

static void check_said(const char *file, const char *should)
{
    scoped_text char *text = scratch_read(file);
    if (!strstr(text, should))
        fail_msg("%s has no '%s': %s", file, should, text);
}

TEST(a_signal_stops_in_order)
{
    UNUSED;
    const int signals[] = { SIGTERM, SIGINT };
    const enum behaviour how[] = { STOPS_AT_ONCE, STOPS_LATER };
    for (int i = 0; i < 4; i++) {
        pid_t child = launch(how[i / 2], NULL, NULL);
        await_note("started");
        (void)usleep(50000);
        CHECK_INT(kill(child, signals[i % 2]), 0);
        CHECK_INT(code_of(child), 0);
        check_notes("info started stop destroy closed ");
        check_said("err", i % 2 ? "stopping signal=INT" : "stopping signal=TERM");
    }
}

TEST(stop_is_called_once_and_a_second_interrupt_ends_at_once)
{
    UNUSED;
    pid_t child = launch(NEVER_STOPS, NULL, NULL);
    await_note("started");
    (void)usleep(50000);
    CHECK_INT(kill(child, SIGTERM), 0);
    await_note("stop");
    CHECK_INT(kill(child, SIGTERM), 0);
    (void)usleep(50000);
    CHECK_INT(kill(child, SIGINT), 0);
    (void)usleep(50000);
    CHECK_INT(waitpid(child, NULL, WNOHANG), 0);
    CHECK_INT(kill(child, SIGINT), 0);
    CHECK_INT(code_of(child), 130);
    check_notes("info started stop ");
}

TEST(a_start_that_fails_ends_with_1)
{
    UNUSED;
    CHECK_INT(code_of(launch(FAILS, NULL, NULL)), 1);
    check_notes("info ");
    CHECK_INT(code_of(launch(FAILS_WITH_SELF, NULL, NULL)), 1);
    check_notes("info started destroy closed ");
}

TEST(an_end_in_start_gives_its_code)
{
    UNUSED;
    CHECK_INT(code_of(launch(ENDS_IN_START, NULL, NULL)), 7);
    check_notes("info started destroy closed ");
}

TEST(a_broken_pipe_is_no_end)
{
    UNUSED;
    pid_t child = launch(STOPS_AT_ONCE, NULL, NULL);
    await_note("started");
    CHECK_INT(kill(child, SIGPIPE), 0);
    (void)usleep(50000);
    CHECK_INT(kill(child, SIGTERM), 0);
    CHECK_INT(code_of(child), 0);
}

TEST(settings_come_from_the_file_named)
{
    UNUSED;
    char config[] = "--config";
    char file[] = "gantry.yaml";
    char both[] = "--config=gantry.yaml";
    scratch_write(file, "log.level: debug\n");
    CHECK_INT(code_of(launch(ENDS_IN_START, config, file)), 7);
    check_notes("debug started destroy closed ");
    CHECK_INT(code_of(launch(ENDS_IN_START, both, NULL)), 7);
    check_notes("debug started destroy closed ");
    CHECK_INT(setenv("GANTRY_CONFIG", file, 1), 0);
    CHECK_INT(code_of(launch(ENDS_IN_START, NULL, NULL)), 7);
    (void)unsetenv("GANTRY_CONFIG");
    check_notes("debug started destroy closed ");
}

TEST(a_mistyped_name_of_the_environment_is_warned_of)
{
    UNUSED;
    CHECK_INT(setenv("GANTRY_STORAGE_ROT", "/x", 1), 0);
    CHECK_INT(setenv("GANTRY_STORAGE_ROOT", "/x", 1), 0);
    CHECK_INT(setenv("GANTRY_DATA", "/x", 1), 0);
    CHECK_INT(code_of(launch(ENDS_IN_START, NULL, NULL)), 7);
    (void)unsetenv("GANTRY_STORAGE_ROT");
    (void)unsetenv("GANTRY_STORAGE_ROOT");
    (void)unsetenv("GANTRY_DATA");
    check_said("err", "environment_unknown name=GANTRY_STORAGE_ROT\n");
    scoped_text char *said = scratch_read("err");
    CHECK(!strstr(said, "GANTRY_STORAGE_ROOT") && !strstr(said, "GANTRY_DATA"));
}

TEST(wrong_usage_ends_with_2_and_a_hint)
{
    UNUSED;
    const struct {
        const char *argument;
        const char *said;
    } rows[] = {
        { "--nonsense", "gantry-test: --nonsense: there is no such flag\n" },
        { "--config", "gantry-test: --config: the file's name is missing\n" },
        { "--config=none.yaml", "gantry-test: none.yaml: cannot be read: " },
        { "--log-level=loud", "gantry-test: log.level must be error, warn, info or debug\n" },
        { "--print-settings=x", "gantry-test: --print-settings is table or sample\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char argument[64];
        (void)snprintf(argument, sizeof argument, "%s", rows[i].argument);
        CHECK_INT(code_of(launch(STOPS_AT_ONCE, argument, NULL)), 2);
        check_said("err", rows[i].said);
        check_said("err", "gantry-test --help lists flags and settings.\n");
        check_notes("");
    }
}

TEST(what_is_asked_for_is_printed)
{
    UNUSED;
    const struct {
        const char *argument;
        const char *said;
    } rows[] = {
        { "--help", "gantry-test: is tried\n" },
        { "--help", "  gantry-test --log-level=debug\n" },
        { "-h", "  --limits-batch=NUMBER " },
        { "--version", "gantry-test " GANTRY_VERSION "\n" },
        { "--print-settings", "| `limits.batch` | `256` | 1 to 1024 | `GANTRY_LIMITS_BATCH` |" },
        { "--print-settings=table", "| `redis.db` |" },
        { "--print-settings=sample", "\n#limits.batch: 256\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char argument[64];
        (void)snprintf(argument, sizeof argument, "%s", rows[i].argument);
        CHECK_INT(code_of(launch(STOPS_AT_ONCE, argument, NULL)), 0);
        check_said("out", rows[i].said);
        check_notes("");
    }
}

int main(void)
{
    scratch_enter("program_test.d");
    const struct CMUnitTest tests[] = {
        HOLDS(a_signal_stops_in_order),
        HOLDS(stop_is_called_once_and_a_second_interrupt_ends_at_once),
        HOLDS(a_start_that_fails_ends_with_1),
        HOLDS(an_end_in_start_gives_its_code),
        HOLDS(a_broken_pipe_is_no_end),
        HOLDS(settings_come_from_the_file_named),
        HOLDS(a_mistyped_name_of_the_environment_is_warned_of),
        HOLDS(wrong_usage_ends_with_2_and_a_hint),
        HOLDS(what_is_asked_for_is_printed),
    };
    return cmocka_run_group_tests_name("program", tests, NULL, NULL);
}
