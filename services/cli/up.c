/* gantry up: a whole system on one machine, as children of this process. */
#include "common/clock.h"
#include "common/config.h"
#include "common/scoped.h"
#include "services/cli/cli.h"
#include "services/cli/house.h"
#include "services/cli/layout.h"
#include "services/cli/plan.h"
#include "services/cli/ready.h"
#include "services/cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>

enum { READY_MS = 60000, TAIL = 2048 };

enum { SIGNALS = 3, URL = ADDRESS_TEXT + sizeof "https://" };

struct up {
    struct cli *cli;
    struct plan *plan;
    uv_loop_t loop;
    uv_signal_t signals[SIGNALS];
    house_t *house;
    ready_t *ready;
    int code;
    bool stopping;
};

static void show_line(const char *line)
{
    fputs("    ", stderr);
    terminal_put(stderr, line);
    fputc('\n', stderr);
}

/* What a dead child said last: a line, or all that TAIL bytes hold. */
static void show_tail(const char *log, bool all)
{
    char text[TAIL + 1];
    FILE *file = fopen(log, "re");
    if (!file)
        return;
    if (fseek(file, -TAIL, SEEK_END))
        rewind(file);
    size_t size = fread(text, 1, TAIL, file);
    text[size] = '\0';
    (void)fclose(file);
    char *rest = text;
    const char *last = NULL;
    for (char *line; (line = strsep(&rest, "\n"));) {
        if (!*line)
            continue;
        if (all)
            show_line(line);
        last = line;
    }
    if (last && !all)
        show_line(last);
}

static void stop(struct up *self, int code)
{
    if (!self->stopping)
        self->code = code;
    else
        fprintf(stderr, "gantry up: stopping now, running tasks go back to their queues\n");
    self->stopping = true;
    ready_destroy(&self->ready);
    house_stop(self->house);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct up *self = handle->data;
    if (!self->stopping)
        fprintf(stderr,
                "gantry up: %s, stopping; running tasks may finish (again: stop them now)\n",
                strsignal(number));
    stop(self, CLI_DONE);
}

static void on_died(void *arg, const struct house_child *child, int64_t code, int sig,
                    int64_t pause_ms)
{
    (void)arg;
    fprintf(stderr, "gantry up: %s ended (%s %d), starting it again in %d ms; its log is %s\n",
            child->name, sig ? "signal" : "exit code", sig ? sig : (int)code, (int)pause_ms,
            child->log);
    show_tail(child->log, false);
}

static void on_hopeless(void *arg, const struct house_child *child)
{
    struct up *self = arg;
    fprintf(stderr, "gantry up: %s cannot start, stopping; its log is %s and ends with:\n",
            child->name, child->log);
    show_tail(child->log, true);
    if (!self->stopping)
        stop(self, CLI_FAILED);
}

static void on_gone(void *arg)
{
    struct up *self = arg;
    for (size_t i = 0; i < SIGNALS; i++)
        uv_close((uv_handle_t *)&self->signals[i], NULL);
}

static const char *http_url(const struct plan *plan, char url[URL])
{
    url[0] = '\0';
    if (plan->http.size) {
        char address[ADDRESS_TEXT];
        (void)snprintf(url, URL, "%s://%s", plan->tls ? "https" : "http",
                       address_print(&plan->http, address));
    }
    return url;
}

/* run/http says to scripts where HTTP is; without HTTP there is no such file. */
static void note_http(const struct layout *layout, const char *url)
{
    char path[PATH_MAX];
    if (!layout_path(layout, "run/http", path))
        return;
    (void)unlink(path);
    if (!*url)
        return;
    FILE *file = fopen(path, "we");
    bool written = file && fprintf(file, "%s\n", url) > 0;
    if ((file && fclose(file)) || !written)
        fprintf(stderr, "gantry up: %s: %s\n", path, strerror(errno));
}

static void tell_ready(const struct up *self)
{
    const struct plan *plan = self->plan;
    char url[URL];
    int64_t fd = self->cli->options.ready_fd;
    printf("gantry %s is up on %s; Ctrl-C stops it\n", GANTRY_VERSION, plan->layout.dir);
    printf("  clients   %s\n", plan->clients);
    note_http(&plan->layout, http_url(plan, url));
    if (*url)
        printf("  http      %s\n", url);
    printf("  inputs    from %s\n", plan->input_roots);
    printf("  logs      %s/log\n", plan->layout.dir);
    printf("  try       gantry submit system.echo value=hello --wait\n");
    printf("READY\n");
    (void)fflush(stdout);
    if (fd >= 0 && fd <= INT_MAX) {
        if (write((int)fd, "READY\n", 6) != 6)
            fprintf(stderr, "gantry up: --ready-fd %d: %s\n", (int)fd, strerror(errno));
        (void)close((int)fd);
    }
}

static void on_ready(void *arg, const char *missing)
{
    struct up *self = arg;
    if (!missing) {
        ready_destroy(&self->ready);
        house_served(self->house);
        tell_ready(self);
        return;
    }
    (void)cli_say(self->cli, CLI_AWAY, "not up in time: %s does not answer; see the logs in %s/log",
                  missing, self->plan->layout.dir);
    stop(self, CLI_AWAY);
}

static int add_children(struct up *self)
{
    const struct plan *plan = self->plan;
    int r = 0;
    for (size_t i = 0; i < plan->count && r == 0; i++) {
        const struct plan_child *child = &plan->children[i];
        r = house_add(self->house,
                      &(struct house_child){ .name = child->name,
                                             .argv = child->argv,
                                             .log = child->log,
                                             .lock = child->rank ? NULL : plan->redis_lock,
                                             .death_signal = child->rank ? SIGKILL : SIGTERM,
                                             .rank = child->rank,
                                             .patience_ms = plan->patience_ms[child->rank] });
    }
    return r;
}

static int start(struct up *self)
{
    static const int numbers[SIGNALS] = { SIGINT, SIGTERM, SIGHUP };
    static const struct house_events events = { on_died, on_hopeless, on_gone };
    int64_t wait_ms = self->cli->options.timeout_ms > 0 ? self->cli->options.timeout_ms : READY_MS;
    self->house = house_new(&self->loop, self->plan->self, &events, self);
    if (!self->house)
        return -ENOMEM;
    for (size_t i = 0; i < SIGNALS; i++) {
        uv_signal_init(&self->loop, &self->signals[i]);
        self->signals[i].data = self;
        uv_signal_start(&self->signals[i], on_signal, numbers[i]);
    }
    int r = add_children(self);
    const struct ready_for wanted = { .brokers = self->plan->clients,
                                      .workers = self->plan->workers,
                                      .services = self->plan->workers ? self->plan->services : "",
                                      .http = &self->plan->http,
                                      .until_ms = clock_ms() + wait_ms };
    self->ready = ready_new(&self->loop, &wanted, on_ready, self);
    return r || self->ready ? r : -ENOMEM;
}

static int run(struct cli *cli, struct plan *plan)
{
    struct up self = { .cli = cli, .plan = plan };
    int r = uv_loop_init(&self.loop);
    if (r)
        return cli_say(cli, CLI_AWAY, "%s", strerror(-r));
    (void)signal(SIGPIPE, SIG_IGN);
    r = start(&self);
    if (r)
        (void)cli_say(cli, CLI_AWAY, "%s", strerror(-r));
    if (r && self.house)
        stop(&self, CLI_AWAY);
    (void)uv_run(&self.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&self.loop);
    house_destroy(&self.house);
    return r ? CLI_AWAY : self.code;
}

/* One `gantry up` a data folder. The lock goes with the process, however it ends. */
static int lock(const struct cli *cli, const struct layout *layout, int *ret_fd)
{
    char path[PATH_MAX];
    char pid[32] = "?";
    if (!layout_path(layout, "run/up.lock", path))
        return cli_say(cli, CLI_USAGE, "%s: the name is too long", layout->dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return cli_say(cli, CLI_AWAY, "%s: %s", path, strerror(errno));
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        ssize_t size = read(fd, pid, sizeof pid - 1);
        if (size > 0)
            pid[size] = '\0';
        (void)close(fd);
        return cli_say(
            cli, CLI_REFUSED,
            "a system runs on %s already (process %s): use it, stop it, or name another folder "
            "with --data",
            layout->dir, pid);
    }
    int size = snprintf(pid, sizeof pid, "%ld", (long)getpid());
    if (ftruncate(fd, 0) || write(fd, pid, (size_t)size) != size)
        (void)cli_say(cli, CLI_AWAY, "%s: %s", path,
                      strerror(errno)); /* only the message misses it */
    *ret_fd = fd;
    return 0;
}

int cli_up(struct cli *cli)
{
    scoped_fd int locked = -1;
    struct layout layout;
    const char *data = cli->options.data ? cli->options.data : getenv("GANTRY_DATA");
    if (!data || !*data)
        data = "gantry-data";
    cli->where = data;
    int r = layout_make(data, &layout);
    if (r)
        return cli_say(cli, CLI_AWAY, "%s: %s", data, strerror(-r));
    int code = lock(cli, &layout, &locked);
    if (code)
        return code;
    scoped(plan) plan = NULL;
    code = plan_new(cli, &layout, &plan);
    return code ? code : run(cli, plan);
}
