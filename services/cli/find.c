#include "services/cli/find.h"

#include "common/clock.h"
#include "common/config.h"
#include "common/scoped.h"
#include "common/slice.h"
#include "services/cli/layout.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>

/* A broker that is being started again is waited for; a socket that was never made is not. */
enum { LISTEN_MS = 2000, LOOK_NS = 50000000 };

/* 0 when somebody accepts at a path, or -errno. */
static int listens(struct slice path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (!slice_copy(path, address.sun_path, sizeof address.sun_path))
        return -ENAMETOOLONG;
    scoped_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    return connect(fd, (const struct sockaddr *)&address, sizeof address) ? -errno : 0;
}

/* 0 when one of the endpoints may answer: it is no local one, or somebody listens. */
static int any_listens(const char *brokers)
{
    int r = -ENOENT;
    for (const char *at = brokers; *at && r;) {
        size_t length = strcspn(at, ",");
        bool local = strncmp(at, "ipc://", 6) == 0;
        r = local ? listens(slice_make(at + 6, length - 6)) : 0;
        at += length + (at[length] == ',');
    }
    return r;
}

static int await_listener(const struct cli *cli, const char *brokers)
{
    int64_t until_ms = clock_ms() + LISTEN_MS;
    int r;
    while ((r = any_listens(brokers)) == -ECONNREFUSED && clock_ms() < until_ms)
        (void)nanosleep(&(struct timespec){ .tv_nsec = LOOK_NS }, NULL);
    if (r == 0)
        return 0;
    if (r == -EACCES)
        return cli_say(cli, CLI_AWAY, "the system at %s belongs to another user", cli->where);
    return cli_say(
        cli, CLI_AWAY,
        "no system answers at %s: start one with `gantry up`, or name one with --data DIR or "
        "--broker ENDPOINT",
        cli->where);
}

static int find_given(struct cli *cli, const char *given, char brokers[FIND_TEXT])
{
    cli->where = given;
    if (!slice_copy(slice_of(given), brokers, FIND_TEXT) || !strstr(given, "://"))
        return cli_say(cli, CLI_USAGE,
                       "%s is no endpoint: expected one such as ipc://gantry-data/run/clients or "
                       "tcp://127.0.0.1:5550",
                       given);
    return await_listener(cli, brokers);
}

static int find_data(struct cli *cli, const char *data, char brokers[FIND_TEXT])
{
    struct layout layout;
    char file[PATH_MAX];
    cli->where = data;
    if (layout_find(data, &layout) || !layout_path(&layout, "gantry.yaml", file) ||
        access(file, R_OK))
        return cli_say(
            cli, CLI_AWAY,
            "no system at %s (%s): start one with `gantry up --data %s`, or name another with "
            "--data DIR or --broker ENDPOINT",
            data, strerror(errno), data);

    char error[CONFIG_ERROR];
    char *none[] = { NULL };
    scoped(config) config = NULL;
    int r = config_load(&config, file, 0, none, USED_BY_BROKER, error);
    if (r)
        return cli_say(cli, CLI_USAGE, "%s", r > 0 ? error : strerror(-r));
    if (chdir(layout.dir))
        return cli_say(cli, CLI_AWAY, "%s: %s", layout.dir, strerror(errno));
    if (!slice_copy(slice_of(config_settings(config)->broker_clients), brokers, FIND_TEXT))
        return cli_say(cli, CLI_USAGE, "%s: broker.clients is too long", file);
    return await_listener(cli, brokers);
}

static const char *environment(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

int find_brokers(struct cli *cli, char brokers[FIND_TEXT])
{
    const struct options *options = &cli->options;
    if (options->broker && options->data)
        return cli_say(cli, CLI_USAGE, "--broker and --data name two systems: give one of them");
    if (options->broker)
        return find_given(cli, options->broker, brokers);
    const char *broker = environment("GANTRY_BROKER");
    if (!options->data && broker)
        return find_given(cli, broker, brokers);
    const char *data = options->data ? options->data : environment("GANTRY_DATA");
    return find_data(cli, data ? data : "gantry-data", brokers);
}
