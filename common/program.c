#include "common/program.h"

#include <czmq.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "common/log.h"
#include "common/setting_row.h"
#include "common/status.h"

enum { EXIT_USAGE = 2, EXIT_INTERRUPTED = 130, CLOSING_MS = 5000 };

struct program {
    const struct program_row *row;
    uv_loop_t loop;
    uv_signal_t terminate;
    uv_signal_t interrupt;
    uv_timer_t closing; /* bounds how long handles may take to close */
    zhub_t *hub;
    void *zmq;
    void *self; /* what start made */
    int interrupts;
    int code;
    bool stopping;
    bool ended;
};

struct usage {
    const char *file;  /* --config, or NULL */
    const char *print; /* --print-settings: "table", "sample", or NULL */
    const char *wrong; /* a sentence, or NULL */
    bool help;
    bool version;
    int flags; /* what is left for config_load, in flag[] */
    char **flag;
};

static void print_help(const struct program_row *row)
{
    (void)printf("%s: %s\n\nusage: %s [--config FILE] [--SETTING=VALUE ...]\n\n", row->name,
                 row->summary, row->name);
    if (row->examples && *row->examples)
        (void)printf("examples:\n%s\n", row->examples);
    (void)puts("  --config=FILE                          read settings from a YAML file (or "
               "GANTRY_CONFIG)\n"
               "  --help                                 this text\n"
               "  --version                              the version\n"
               "\nsettings; a flag wins over the environment, which wins over the file:");
    config_print_help(stdout, row->used_by);
}

static int refuse(const struct program_row *row, const char *sentence)
{
    (void)fprintf(stderr, "%s: %s\n%s --help lists flags and settings.\n", row->name, sentence,
                  row->name);
    return EXIT_USAGE;
}

static const char *value_of(const char *arg, const char *flag)
{
    size_t size = strlen(flag);
    return strncmp(arg, flag, size) == 0 && arg[size] == '=' ? arg + size + 1 : NULL;
}

/* True when the argument is one of the frame's own; *at moves on when it took the one after it,
 * too. */
static bool own_flag(struct usage *usage, int argc, char **argv, int *at)
{
    const char *arg = argv[*at];
    if (strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0)
        return usage->help = true;
    if (strcmp(arg, "--version") == 0)
        return usage->version = true;
    if (strcmp(arg, "--config") == 0) {
        usage->file = argv[++*at]; /* argv ends in NULL */
        usage->wrong = *at < argc ? usage->wrong : "--config: the file's name is missing";
        return true;
    }
    if (strcmp(arg, "--print-settings") == 0) {
        usage->print = "table";
        return true;
    }
    const char *file = value_of(arg, "--config");
    const char *print = value_of(arg, "--print-settings");
    if (file)
        usage->file = file;
    if (print)
        usage->print = print;
    return file || print;
}

static void read_usage(struct usage *usage, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!own_flag(usage, argc, argv, &i))
            usage->flag[usage->flags++] = argv[i];
    if (!usage->file)
        usage->file = getenv("GANTRY_CONFIG");
    if (usage->file && !*usage->file)
        usage->file = NULL;
}

static int print_settings(const struct program_row *row, const char *what)
{
    if (strcmp(what, "table") == 0)
        config_print_table(stdout);
    else if (strcmp(what, "sample") == 0)
        config_print_sample(stdout);
    else
        return refuse(row, "--print-settings is table or sample");
    return 0;
}

static void on_signal(uv_signal_t *handle, int number)
{
    program_t *self = handle->data;
    if (number == SIGINT && ++self->interrupts > 1)
        _exit(EXIT_INTERRUPTED); /* asked twice: whoever waits wants it gone, in order or not */
    if (self->stopping || self->ended)
        return;
    self->stopping = true;
    log_event(LOG_LEVEL_INFO, "stopping", "signal=%s", number == SIGINT ? "INT" : "TERM");
    self->row->stop(self->self);
}

static int init_loop(program_t *self)
{
    int r = uv_loop_init(&self->loop);
    if (r)
        return r;
    (void)uv_signal_init(&self->loop, &self->terminate);
    (void)uv_signal_init(&self->loop, &self->interrupt);
    (void)uv_timer_init(&self->loop, &self->closing);
    self->terminate.data = self->interrupt.data = self->closing.data = self;
    /* They must not keep the loop alive once all else is closed. */
    uv_unref((uv_handle_t *)&self->terminate);
    uv_unref((uv_handle_t *)&self->interrupt);
    uv_unref((uv_handle_t *)&self->closing);
    self->hub = zhub_new(&self->loop);
    self->zmq = zmq_ctx_new();
    if (!self->hub || !self->zmq)
        return -ENOMEM;
    r = uv_signal_start(&self->terminate, on_signal, SIGTERM);
    return r ? r : uv_signal_start(&self->interrupt, on_signal, SIGINT);
}

static void on_closing_late(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void log_open_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    if (uv_has_ref(handle) && (uv_is_active(handle) || uv_is_closing(handle)))
        log_event(LOG_LEVEL_ERROR, "handle_left", "type=%s",
                  uv_handle_type_name(uv_handle_get_type(handle)));
}

/* Lets everything close; what does not within a bound is our mistake, and named. */
static void end_loop(program_t *self)
{
    zhub_destroy(&self->hub);
    (void)uv_timer_start(&self->closing, on_closing_late, CLOSING_MS, 0);
    (void)uv_run(&self->loop, UV_RUN_DEFAULT);
    uv_walk(&self->loop, log_open_handle, NULL);
    uv_close((uv_handle_t *)&self->terminate, NULL);
    uv_close((uv_handle_t *)&self->interrupt, NULL);
    uv_close((uv_handle_t *)&self->closing, NULL);
    (void)uv_run(&self->loop, UV_RUN_NOWAIT);
    (void)uv_loop_close(&self->loop);
    (void)zmq_ctx_term(self->zmq);
}

/* A name that was mistyped would be as if it were not there. */
static void warn_of_environment(void)
{
    for (char **at = environ; at && *at; at++) {
        size_t size = strcspn(*at, "=");
        if (strncmp(*at, "GANTRY_", 7) == 0 && !setting_env_known(*at, size))
            log_event(LOG_LEVEL_WARN, "environment_unknown", "name=%.*s", (int)size, *at);
    }
}

static int run(const struct program_row *row, const struct settings *settings)
{
    program_t self = { .row = row };
    warn_of_environment();
    int r = init_loop(&self);
    if (r) {
        log_event(LOG_LEVEL_ERROR, "start_failed", "why=%s", strerror(-r));
        return EXIT_FAILURE;
    }
    r = row->start(&self, settings, &self.self);
    if (r == 0 && !self.ended)
        (void)uv_run(&self.loop, UV_RUN_DEFAULT);
    if (self.self)
        row->destroy(self.self);
    end_loop(&self);
    if (r)
        return r == -EINVAL ? EXIT_USAGE : EXIT_FAILURE;
    return self.code;
}

static int configured(const struct program_row *row, const struct usage *usage)
{
    char error[CONFIG_ERROR] = "";
    config_t *config = NULL;
    if (config_load(&config, usage->file, usage->flags, usage->flag, row->used_by, error))
        return refuse(row, error);

    const struct settings *settings = config_settings(config);
    int code = log_setup(row->name, settings->log_level) == 0
                   ? run(row, settings)
                   : refuse(row, "log.level must be error, warn, info or debug");
    config_destroy(&config);
    return code;
}

int program_main(const struct program_row *row, int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    zsys_handler_set(NULL); /* or CZMQ takes SIGINT and SIGTERM with its first socket */
    struct usage usage = { .flag = calloc((size_t)argc + 1, sizeof *usage.flag) };
    if (!usage.flag)
        return EXIT_FAILURE;
    read_usage(&usage, argc, argv);
    int code = 0;
    if (usage.help)
        print_help(row);
    else if (usage.version)
        (void)printf("%s %s\n", row->name, GANTRY_VERSION);
    else if (usage.print)
        code = print_settings(row, usage.print);
    else
        code = usage.wrong ? refuse(row, usage.wrong) : configured(row, &usage);
    free(usage.flag);
    return code;
}

uv_loop_t *program_loop(program_t *self)
{
    return &self->loop;
}

zhub_t *program_hub(program_t *self)
{
    return self->hub;
}

void *program_zmq(program_t *self)
{
    return self->zmq;
}

void program_end(program_t *self, int code)
{
    if (self->ended)
        return; /* the stop would be kept for the run in which all closes */
    self->code = code;
    self->ended = true;
    uv_stop(&self->loop);
}

void program_raise_files(const char *setting, int64_t wanted, const char *why)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < (rlim_t)wanted + PROGRAM_FILES_OWN)
        log_event(LOG_LEVEL_WARN, "few_files", "limit=%llu %s=%lld why=%s",
                  (unsigned long long)limit.rlim_max, setting, (long long)wanted, why);
}
